package main

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// generationFields are the fields of a generation config, in the order of --help. A field's flag is its name with dashes.
// docs/generation.md says what each does.
var generationFields = []generationField{
	{"max_new_tokens", number, "N", "tokens to generate at most (default what the generation config says, or 256)"},
	{"max_length", number, "N", "the same, counting the prompt"},
	{"min_new_tokens", number, "N", "tokens to generate before the text may end"},
	{"min_length", number, "N", "the same, counting the prompt"},
	{"max_time", number, "SECONDS", "begin no pass after this time"},
	{"stop_strings", texts, "TEXT", "end the text before this; may be given several times"},
	{"eos_token_id", ids, "IDS", "tokens that end the text, as in 3,7 (default the model's)"},
	{"bos_token_id", number, "ID", "the token that begins a text: known, and without effect"},
	{"pad_token_id", number, "ID", "what groups of beams that are done choose (default the first end token)"},

	{"do_sample", yesNo, "", "draw tokens by their probabilities"},
	{"seed", number, "N", "of what is drawn (default another one each time)"},
	{"temperature", number, "X", "divide logits by this before drawing: below 1 likely tokens become likelier"},
	{"top_k", number, "N", "draw from the N likeliest tokens; 0 is all of them (default 50)"},
	{"top_p", number, "P", "draw from the likeliest tokens that have this probability together"},
	{"min_p", number, "P", "draw from tokens at least P times as likely as the likeliest"},
	{"typical_p", number, "P", "draw from the tokens closest to the expected information that have this probability together"},
	{"epsilon_cutoff", number, "P", "draw from tokens with at least this probability"},
	{"eta_cutoff", number, "P", "the same, with a bound that falls where many tokens are likely"},
	{"num_return_sequences", number, "N", "how many texts to generate"},

	{"num_beams", number, "N", "search with N beams"},
	{"num_beam_groups", number, "N", "divide the beams into N groups that differ"},
	{"diversity_penalty", number, "X", "what a token loses for each time an earlier group has chosen it"},
	{"length_penalty", number, "X", "divide a text's score by its length to the power of X: above 0 prefers long texts (default 1)"},
	{"early_stopping", word, "WHEN", "end with as many texts as beams: true (at once), false (when better ones are unlikely), never (when there cannot be any)"},

	{"repetition_penalty", number, "X", "make tokens that were there less likely: above 1"},
	{"no_repeat_ngram_size", number, "N", "never repeat N tokens in a row"},
	{"bad_words_ids", raw, "JSON", "token lists that must not occur, as in [[4],[5,6]]"},
	{"sequence_bias", raw, "JSON", "what is added to the score of token lists, as in [[[15,7],-2.5]]"},
	{"suppress_tokens", ids, "IDS", "tokens that must not occur"},
	{"begin_suppress_tokens", ids, "IDS", "tokens that the text must not begin with"},
	{"forced_bos_token_id", number, "ID", "the first token, after a prompt of one"},
	{"forced_eos_token_id", ids, "IDS", "the last token of a text that gets as long as it may"},
	{"exponential_decay_length_penalty", pair, "START,FACTOR", "make the end likelier after START tokens, by FACTOR each"},
	{"remove_invalid_values", yesNo, "", "take NaN for 0, and infinities for the greatest numbers"},
	{"renormalize_logits", yesNo, "", "make scores log-probabilities again after they were changed"},

	{"prompt_lookup_num_tokens", number, "N", "guess N tokens at a time from prompt and text, and check them in one pass"},
	{"max_matching_ngram_size", number, "N", "of the last N tokens at most (default 2)"},

	{"cache_implementation", text, "POLICY", "the generation config's word for --cache, which wins"},
	{"cache_config", raw, "JSON", `max_cache_len is its word for --context, which wins: {"max_cache_len": 4096}`},
	{"use_cache", yesNo, "", "known, and without effect: K/V are always kept"},
	{"output_scores", yesNo, "", "compute log-probabilities, as --output json does"},
	{"top_logprobs", number, "N", "report the N likeliest tokens of each step, with --output json"},
}

// generationField is a field as a flag.
type generationField struct {
	name  string // in JSON
	kind  fieldKind
	value string // what help calls its value
	help  string
}

func (f generationField) flag() string { return strings.ReplaceAll(f.name, "_", "-") }

// fieldKind says how the text of a flag becomes JSON.
type fieldKind int

const (
	number fieldKind = iota
	yesNo            // true or false; the bare flag is true
	text
	texts // a list: one each time the flag is given
	word  // JSON's true and false, and others as text
	ids   // a list with commas between
	pair  // two numbers with a comma between
	raw   // JSON
)

// toJSON turns a flag's texts into JSON. What makes no sense comes through, for the config to say so.
func (k fieldKind) toJSON(given []string) json.RawMessage {
	last := given[len(given)-1]
	switch {
	case k == texts:
		return quote(given)
	case k == number:
		return numberJSON(last)
	case k == ids && strings.TrimSpace(last) == "":
		return json.RawMessage("[]")
	case k == ids, k == pair:
		return listJSON(last)
	case k == raw && json.Valid([]byte(last)):
		return json.RawMessage(last)
	case (k == yesNo || k == word) && (last == "true" || last == "false"):
		return json.RawMessage(last)
	default:
		return quote(last)
	}
}

// quote returns a value that JSON can hold in JSON.
func quote(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings always can
	}
	return data
}

// numberJSON writes a number as JSON has it. What is none is a string there.
func numberJSON(text string) json.RawMessage {
	text = strings.TrimSpace(text)
	if json.Valid([]byte(text)) && text != "null" {
		return json.RawMessage(text)
	}
	if x, err := strconv.ParseFloat(text, 64); err == nil && !math.IsInf(x, 0) && !math.IsNaN(x) {
		return quote(x) // .5, or +1
	}
	return quote(text)
}

func listJSON(text string) json.RawMessage {
	if strings.HasPrefix(strings.TrimSpace(text), "[") && json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	var list []json.RawMessage
	for field := range strings.SplitSeq(text, ",") {
		list = append(list, numberJSON(field))
	}
	return quote(list)
}
