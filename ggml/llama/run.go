package llama

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// maxRun bounds a run of text without white space, in code points.
//
// libllama splits text for byte-pair vocabularies with std::regex wherever it has no code of its
// own for the pattern (DeepSeek, Falcon, Tekken, GPT-4o, …). std::regex recurses once for each
// character of a match, and at 22,000 characters it overflows a stack of 8 MiB, which ends the
// process. A match can be two runs long: one of text and one of line ends.
const maxRun = 4096

// cutRuns splits text so that no part holds a run longer than maxRun; ordinary text stays whole. It
// cuts between a letter and punctuation where it can, because all of these patterns end a match
// there and the tokens stay those of the whole text; within an endless word they may differ. No cut
// goes through a special token's spelling.
func cutRuns(text []byte, specials func() [][]byte) [][]byte {
	if len(text) <= maxRun {
		return [][]byte{text}
	}
	var (
		parts      [][]byte
		start      int // of the part
		run        int // code points since the last change of white space or cut
		good       int // offset of the last good place in this run, 0: none
		goodRun    int // run at good
		wasSpace   bool
		wasLetters bool
	)
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		// The patterns disagree on white space outside ASCII, so it ends no run.
		space := unicode.IsSpace(r)
		if r >= utf8.RuneSelf && space {
			space = wasSpace
		}
		letters := unicode.IsLetter(r) || unicode.IsNumber(r)
		if space != wasSpace {
			run, good = 0, 0
			wasSpace = space
		}
		if wasLetters && unicode.IsPunct(r) && r != '\'' {
			good, goodRun = i, run
		}
		wasLetters = letters
		if run == maxRun {
			cut := i
			if good > 0 && goodRun >= maxRun/2 {
				cut = good
			}
			cut = beforeSpecial(text, start, cut, specials())
			parts = append(parts, text[start:cut])
			run = utf8.RuneCount(text[cut:i])
			start, good = cut, 0
		}
		run++
		i += n
	}
	return append(parts, text[start:])
}

// beforeSpecial moves cut back to the start of a special token that it would cut in two, unless
// nothing would be left after start.
func beforeSpecial(text []byte, start, cut int, specials [][]byte) int {
	for _, s := range specials {
		from := max(start+1, cut-len(s)+1)
		to := min(len(text), cut+len(s)-1)
		if from >= cut {
			continue
		}
		if i := bytes.Index(text[from:to], s); i >= 0 && from+i < cut {
			return from + i
		}
	}
	return cut
}
