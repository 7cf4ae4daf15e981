package generation

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/sample"
)

func TestNumbersThatPythonWritesAreRead(t *testing.T) {
	negInf := float32(math.Inf(-1))
	for _, tt := range []struct {
		text string
		want Config
		err  string
	}{
		{text: `{"max_time": Infinity, "top_k": 3}`, want: Config{TopK: new(3)}},
		{text: `{"sequence_bias":[[[5],-Infinity],[[6], 1.5]]}`, want: Config{SequenceBias: []sample.Bias{{Tokens: []int32{5}, Bias: negInf}, {Tokens: []int32{6}, Bias: 1.5}}}},
		{text: `{"some_other": NaN, "list": [Infinity, -Infinity]}`},
		{text: `{"stop_strings": ["NaN", "\"Infinity", "9e99999"]}`, want: Config{StopStrings: Strings{"NaN", `"Infinity`, "9e99999"}}},
		{text: `{"temperature": Infinity}`, err: "temperature is Infinity: want a finite number"},
		{text: `{"top_p": NaN}`, err: "top_p is NaN: NaN is not a number: leave the field out"},
		{text: `{"max_new_tokens": -Infinity}`, err: "max_new_tokens is -Infinity: want a whole number"},
		{text: `{"max_time": -Infinity}`, err: "max_time is -Infinity: want a finite number"},
		{text: `{"sequence_bias": [[[5], Infinity]]}`, err: "sequence_bias is [[[5], Infinity]]: want a list of token ids and a finite number or -Infinity, as in [[15, 7], -2.5]"},
		{text: `{"guidance_scale": Infinity}`, err: "guidance_scale is Infinity: this version has no classifier-free guidance"},
		{text: `{"top_p": Infin}`, err: "it is not JSON: invalid character 'I' looking for beginning of value"},
		{text: `{"top_p": --Infinity}`, err: "it is not JSON: invalid character '-' in numeric literal"},
	} {
		got, _, err := Parse([]byte(tt.text))
		if tt.err != "" {
			if err == nil || err.Error() != tt.err {
				t.Errorf("%s: error %v, want %s", tt.text, err, tt.err)
			}
			continue
		}
		if diff := cmp.Diff(got, tt.want); err != nil || diff != "" {
			t.Errorf("%s: %v; config (-got +want):\n%s", tt.text, err, diff)
		}
	}
}

func TestGenerationConfigsMayBeUTF16(t *testing.T) {
	got, _, err := load(t, "\xFF\xFE{\x00\"\x00t\x00o\x00p\x00_\x00k\x00\"\x00:\x003\x00}\x00")
	if err != nil || got.TopK == nil || *got.TopK != 3 {
		t.Errorf("config %+v, error %v, want a top_k of 3", got, err)
	}
	if got, _, err := load(t, "\xEF\xBB\xBF{\"top_k\":3}"); err != nil || got.TopK == nil {
		t.Errorf("with a byte order mark: config %+v, error %v, want a top_k of 3", got, err)
	}
}
