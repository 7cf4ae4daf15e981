package main

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// generationFields are the fields of a generation config that have a flag, in the order of --help.
// A field's flag is its name with dashes. docs/generation.md says what each does.
var generationFields = []generationField{
	{groupLength, "max_new_tokens", number, "N", "Generate at most N tokens. (default what the generation config says, or 256)"},
	{groupLength, "max_length", number, "N", "The same, counting the prompt's tokens too."},
	{groupLength, "min_new_tokens", number, "N", "Generate at least N tokens before the text may end."},
	{groupLength, "min_length", number, "N", "The same, counting the prompt's tokens too."},
	{groupLength, "max_time", number, "SECONDS", "Begin no step after this time."},
	{groupLength, "stop_strings", texts, "TEXT", "End the text before this string. The flag may be given several times."},
	{groupLength, "eos_token_id", ids, "IDS", "These tokens end the text, as in 3,7. (default the model's)"},

	{groupSampling, "do_sample", yesNo, "", "Draw tokens at random by their probabilities. Without it, the likeliest token is taken."},
	{groupSampling, "seed", number, "N", "The seed of the random numbers. The same seed draws the same text; -1 takes another one each time. (default -1)"},
	{groupSampling, "temperature", number, "X", "Divide the logits by X before drawing. Below 1, likely tokens become likelier."},
	{groupSampling, "top_k", number, "N", "Draw from the N likeliest tokens; 0 draws from all. (default 50)"},
	{groupSampling, "top_p", number, "P", "Draw from the likeliest tokens whose probabilities sum up to P."},
	{groupSampling, "min_p", number, "P", "Draw from tokens at least P times as likely as the likeliest one."},
	{groupSampling, "typical_p", number, "P", "Draw from the most typical tokens whose probabilities sum up to P."},
	{groupSampling, "epsilon_cutoff", number, "P", "Draw from tokens with a probability of at least P."},
	{groupSampling, "eta_cutoff", number, "P", "The same, with a bound that is lower where many tokens are likely."},
	{groupSampling, "num_return_sequences", number, "N", "Generate N texts."},

	{groupBeams, "num_beams", number, "N", "Search with N beams, texts that are continued side by side."},
	{groupBeams, "num_beam_groups", number, "N", "Divide the beams into N groups that differ from each other."},
	{groupBeams, "diversity_penalty", number, "X", "Subtract X from a token's score for each time an earlier group has chosen it."},
	{groupBeams, "length_penalty", number, "X", "Divide a text's score by its length to the power of X. Above 0, long texts are preferred. (default 1)"},
	{groupBeams, "early_stopping", word, "WHEN", "When the search ends: true (once there are as many texts as beams), false (once better ones are unlikely), never (once there cannot be any)."},
	{groupBeams, "pad_token_id", number, "ID", "The token that groups choose when they are done. (default the first end token)"},

	{groupScores, "repetition_penalty", number, "X", "Make tokens that are in the text already less likely. It has an effect above 1."},
	{groupScores, "presence_penalty", number, "X", "Subtract X from the scores of tokens that are in the new text. (from -2 to 2)"},
	{groupScores, "frequency_penalty", number, "X", "Subtract X from a token's score for each time it is in the new text. (from -2 to 2)"},
	{groupScores, "no_repeat_ngram_size", number, "N", "Never repeat N tokens in a row."},
	{groupScores, "bad_words_ids", raw, "JSON", "Lists of tokens that must not occur, as in [[4],[5,6]]."},
	{groupScores, "sequence_bias", raw, "JSON", "What is added to the scores of lists of tokens, as in [[[15,7],-2.5]]."},
	{groupScores, "suppress_tokens", ids, "IDS", "Tokens that must not occur."},
	{groupScores, "begin_suppress_tokens", ids, "IDS", "Tokens that the text must not begin with."},
	{groupScores, "forced_bos_token_id", number, "ID", "The first token, if the prompt has one token."},
	{groupScores, "forced_eos_token_id", ids, "IDS", "The last token, if the text gets as long as it may."},
	{groupScores, "exponential_decay_length_penalty", pair, "START,FACTOR", "Make the end likelier by FACTOR for each token after START tokens."},
	{groupScores, "remove_invalid_values", yesNo, "", "Replace NaN by 0, and infinities by the greatest numbers."},
	{groupScores, "renormalize_logits", yesNo, "", "Make the scores log-probabilities again after they were changed."},

	{groupLookup, "prompt_lookup_num_tokens", number, "N", "Guess N tokens at a time from prompt and text, and check them in one step. The text stays the same."},
	{groupLookup, "max_matching_ngram_size", number, "N", "Guess what followed the last N tokens, or fewer of them. (default 2)"},
	{groupLookup, "mtp", number, "N", "Draft N tokens at a time by the model's own block for that (MTP), of files that have one, and check them in one step. The text stays the same."},

	{groupOutput, "output_scores", yesNo, "", "Compute log-probabilities, as --output json does."},
	{groupOutput, "top_logprobs", number, "N", "Print the N likeliest tokens of each step, with --output json."},
	{groupOutput, "raw_logprobs", yesNo, "", "Print log-probabilities of the model itself, from before anything changed the scores."},
}

// fieldsWithoutFlag are the other fields. A file may contain them; as flags they are refused, with
// what to write instead.
var fieldsWithoutFlag = []struct{ name, instead string }{
	{"bos_token_id", "it has no effect: leave it out"},
	{"cache_implementation", "write --cache POLICY"},
	{"cache_config", "write --context TOKENS"},
	{"use_cache", "it has no effect, since K/V are always kept: leave it out"},
}

// generationField is a field as a flag.
type generationField struct {
	group string
	name  string // in JSON
	kind  fieldKind
	value string // what help calls its value
	help  string
}

func (f generationField) flag() string { return flagOf(f.name) }

// flagOf returns the flag of a field.
func flagOf(field string) string { return strings.ReplaceAll(field, "_", "-") }

// fieldKind says how the text of a flag is converted to JSON.
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

// toJSON converts a flag's texts to JSON. It does not check them: the config reports values of a
// wrong type.
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

// quote returns a value as JSON.
func quote(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings always can
	}
	return data
}

// numberJSON writes a number as JSON. A text that is not a number becomes a JSON string.
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
