package generate

import "slices"

// defaultNgram is Hugging Face's max_matching_ngram_size.
const defaultNgram = 2

// lookup guesses at most n tokens that may follow ids: the tokens that followed the last ones where
// these occurred first. It looks for the last ngram tokens, then for fewer, as Hugging Face's
// prompt lookup does. A guess ends before an end token. The result is a part of ids.
//
// Source: https://github.com/apoorvumang/prompt-lookup-decoding
func lookup(ids []int32, n, ngram int, eos []int32) []int32 {
	for size := min(ngram, len(ids)-1); size > 0 && n > 0; size-- {
		last := ids[len(ids)-size:]
		for at := 0; at+size < len(ids); at++ {
			if ids[at] != last[0] || !slices.Equal(ids[at:at+size], last) {
				continue
			}
			guess := ids[at+size : at+size+min(n, len(ids)-at-size)]
			if end := slices.IndexFunc(guess, func(id int32) bool { return slices.Contains(eos, id) }); end >= 0 {
				guess = guess[:end]
			}
			return guess
		}
	}
	return nil
}
