package generation

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// TokenIDs are token ids. In JSON they are a number or a list of numbers.
type TokenIDs []int32

// MarshalJSON writes a single id as a number.
func (t TokenIDs) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]int32(t))
}

// UnmarshalJSON reads a number, a list of numbers, or null.
func (t *TokenIDs) UnmarshalJSON(data []byte) error {
	var id *int32
	if json.Unmarshal(data, &id) == nil {
		*t = nil
		if id != nil {
			*t = TokenIDs{*id}
		}
		return nil
	}
	var ids []int32
	if err := json.Unmarshal(data, &ids); err != nil {
		return errors.New("want a token id or a list of token ids")
	}
	*t = ids
	return nil
}

// Strings are strings. In JSON they are a string or a list of strings.
type Strings []string

// MarshalJSON writes a single string without a list.
func (s Strings) MarshalJSON() ([]byte, error) {
	if len(s) == 1 {
		return json.Marshal(s[0])
	}
	return json.Marshal([]string(s))
}

// UnmarshalJSON reads a string, a list of strings, or null.
func (s *Strings) UnmarshalJSON(data []byte) error {
	var one *string
	if json.Unmarshal(data, &one) == nil {
		*s = nil
		if one != nil {
			*s = Strings{*one}
		}
		return nil
	}
	var list []string
	if err := json.Unmarshal(data, &list); err != nil {
		return errors.New("want a string or a list of strings")
	}
	*s = list
	return nil
}

// Parse reads a config as Hugging Face writes it, without validating it, so that fields can be set
// before. It also reads Python's NaN and Infinity, which are not JSON. The error reports every
// field that has the wrong type, that is zero where zero means nothing, or that asks for a kind of
// search that this version does not have. The warnings name other fields that it does not know.
func Parse(data []byte) (c Config, warnings []string, err error) {
	data = fromPython(data)
	if err := json.Unmarshal(data, &c); err != nil {
		if _, ok := errors.AsType[*json.SyntaxError](err); ok {
			err = fmt.Errorf("it is not JSON: %w", err)
		}
		return c, nil, err
	}
	return c, noteFields(data), nil
}

// UnmarshalJSON is [Parse] without the warnings.
func (c *Config) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*c = Config{}
	var errs []error
	for name := range c.fields() {
		if text, ok := raw[name]; ok {
			errs = append(errs, c.Set(name, text))
		}
	}
	for _, m := range missing {
		if text, ok := raw[m.name]; ok && !slices.Contains(m.neutral, string(text)) && !c.ignores(m.name) {
			errs = append(errs, fmt.Errorf("%s is %s: this version has no %s", m.name, toPython(text), m.what))
		}
	}
	return errors.Join(errs...)
}

// ignores reports whether a field in missing has no effect in Hugging Face either, because of the
// rest of the config.
func (c *Config) ignores(name string) bool {
	return name == "penalty_alpha" && (c.DoSample || c.NumBeams > 1 || c.TopK != nil && *c.TopK <= 1)
}

// FieldError reports a field of a generation config whose value has the wrong type or means
// nothing.
type FieldError struct {
	Field string // its JSON name
	Value string // in JSON
	Want  error
}

func (e *FieldError) Error() string { return fmt.Sprintf("%s is %s: %v", e.Field, e.Value, e.Want) }

func (e *FieldError) Unwrap() error { return e.Want }

// Set sets the field with a JSON name to a value in JSON, in which the numbers may be Python's
// Infinity and -Infinity. null leaves the field as it is, except
// top_k, where it means all tokens. The error is a [FieldError] if there is such a field, which is
// then unchanged.
func (c *Config) Set(name string, value json.RawMessage) error {
	for n, field := range c.fields() {
		if n != name {
			continue
		}
		if string(value) == "null" {
			if name == "top_k" { // Hugging Face's None: its default is 50
				c.TopK = new(0)
			}
			return nil
		}
		if needed, ok := notZero[name]; ok && isZero(value) {
			return &FieldError{name, string(value), fmt.Errorf("want %s, or leave it out", needed)}
		}
		value = fromPython(value)
		if hasNaN(value) {
			return &FieldError{name, string(toPython(value)), errors.New("NaN is not a number: leave the field out")}
		}
		if name == "max_time" && isInfinite(value) {
			c.MaxTime = 0 // no limit
			return nil
		}
		read := reflect.New(reflect.TypeOf(field).Elem()) // so that what is wrong changes nothing
		if err := json.Unmarshal(value, read.Interface()); err != nil {
			return &FieldError{name, string(toPython(value)), wrongType(err)}
		}
		reflect.ValueOf(field).Elem().Set(read.Elem())
		return nil
	}
	return fmt.Errorf("%s is not a field of a generation config", name)
}

// isZero reports whether a JSON value is the number 0.
func isZero(text json.RawMessage) bool {
	var x *float64
	return json.Unmarshal(text, &x) == nil && x != nil && *x == 0
}

// notZero lists the fields in which zero means nothing, and what they must be. In the struct a zero
// says that they are not set.
var notZero = map[string]string{
	"max_new_tokens":           "at least 1",
	"max_length":               "at least 1",
	"num_beams":                "at least 1",
	"num_beam_groups":          "at least 1",
	"num_return_sequences":     "at least 1",
	"prompt_lookup_num_tokens": "at least 1",
	"max_time":                 "a number of seconds above 0",
	"repetition_penalty":       "a number above 0",
}

// missing lists the fields of Hugging Face's that change the text and that this version does not
// have.
var missing = []struct {
	name    string
	neutral []string // values that change nothing
	what    string
}{
	{"assistant_early_exit", []string{"null"}, "assistant models"},
	{"constraints", []string{"null"}, "constrained beam search; see --grammar"},
	{"dola_layers", []string{"null"}, "DoLa decoding"},
	{"encoder_no_repeat_ngram_size", []string{"null", "0"}, "encoders"},
	{"encoder_repetition_penalty", []string{"null", "1", "1.0"}, "encoders"},
	{"force_words_ids", []string{"null"}, "constrained beam search; see --grammar"},
	{"forced_decoder_ids", []string{"null"}, "encoders: put the tokens into the prompt"},
	{"guidance_scale", []string{"null", "1", "1.0"}, "classifier-free guidance"},
	{"is_assistant", []string{"null", "false"}, "assistant models"},
	{"penalty_alpha", []string{"null", "0", "0.0"}, "contrastive search"},
	{"token_healing", []string{"null", "false"}, "token healing"},
	{"watermarking_config", []string{"null"}, "watermarks"},
}

// fields yields the JSON name of each field and a pointer to it.
func (c *Config) fields() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		v := reflect.ValueOf(c).Elem()
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if name != "-" && !yield(name, v.Field(i).Addr().Interface()) {
				return
			}
		}
	}
}

// wrongType says in JSON's terms what a field must be.
func wrongType(err error) error {
	var mismatch *json.UnmarshalTypeError
	if !errors.As(err, &mismatch) {
		return err
	}
	switch mismatch.Type.Kind() {
	case reflect.Bool:
		return errors.New("want true or false")
	case reflect.String:
		return errors.New("want a string")
	case reflect.Struct:
		return errors.New("want an object")
	case reflect.Float64:
		if strings.HasPrefix(mismatch.Value, "number ") { // one that a float64 cannot hold
			return errors.New("want a finite number")
		}
		return errors.New("want a number")
	case reflect.Slice:
		return errors.New("want a list")
	default:
		return errors.New("want a whole number")
	}
}

// silent lists the fields of Hugging Face's that have no effect on the text. They describe the
// file, what the caller gets and how fast it runs there. bos_token_id is known to the tokenizer.
var silent = []string{
	"bos_token_id",
	"transformers_version", "return_dict_in_generate", "return_legacy_cache", "output_attentions", "output_hidden_states", "output_logits",
	"low_memory", "compile_config", "disable_compile", "generation_kwargs", "decoder_start_token_id",
	"num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold", "assistant_lookbehind", "target_lookbehind",
}

// noteFields returns a warning for each field of the file that has no effect because this version
// does not have it.
func noteFields(data []byte) (warnings []string) {
	var raw, cache map[string]json.RawMessage
	var c Config
	if json.Unmarshal(data, &raw) != nil || json.Unmarshal(data, &c) != nil {
		return nil
	}
	warn := func(format string, args ...any) {
		warnings = append(warnings, fmt.Sprintf("generation config: "+format, args...))
	}
	for name := range c.fields() {
		if name == "cache_config" && json.Unmarshal(raw[name], &cache) == nil {
			delete(cache, "max_cache_len")
			for sub := range cache {
				raw["cache_config."+sub] = nil
			}
		}
		delete(raw, name)
	}
	for _, m := range missing {
		if text, ok := raw[m.name]; ok && !slices.Contains(m.neutral, string(text)) {
			warn("%s (%s) has no effect: it is for %s", m.name, toPython(text), m.what)
		}
		delete(raw, m.name)
	}
	if string(raw["use_cache"]) == "false" {
		warn("use_cache is false, which has no effect: K/V are always kept")
	}
	delete(raw, "use_cache")
	for _, name := range silent {
		delete(raw, name)
	}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		if !strings.HasPrefix(name, "_") {
			warn("%s is not known to this version and has no effect", name)
		}
	}
	return warnings
}
