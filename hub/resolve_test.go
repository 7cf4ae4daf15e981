package hub

import (
	"errors"
	"strings"
	"testing"
)

func TestAPastedAddressIsTheFileThatItShows(t *testing.T) {
	for name, want := range map[string]Ref{
		"https://huggingface.co/owner/repo/blob/main/m.gguf":                  {"owner", "repo", "main", "m.gguf"},
		"https://huggingface.co/owner/repo/resolve/main/m.gguf?download=true": {"owner", "repo", "main", "m.gguf"},
		"https://huggingface.co/owner/repo/blob/v1/a/m%20n.gguf":              {"owner", "repo", "v1", "a/m n.gguf"},
		"https://huggingface.co/owner/repo/blob/refs%2Fpr%2F7/m.gguf#top":     {"owner", "repo", "refs/pr/7", "m.gguf"},
		"http://www.hf.co/owner/repo/raw/main/m.gguf":                         {"owner", "repo", "main", "m.gguf"},
		"huggingface.co/owner/repo/blob/main/m.gguf":                          {"owner", "repo", "main", "m.gguf"},
		"hf://owner/repo/m.gguf@v1":                                           {"owner", "repo", "v1", "m.gguf"},
	} {
		if got, err := Resolve(t.Context(), name, Options{}); err != nil || got != want || !IsName(name) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
	for name, want := range map[string]string{
		"https://huggingface.co/owner":                      "names no repository",
		"https://huggingface.co/datasets/owner/repo/x":      "is not the address of a file",
		"https://huggingface.co/owner/repo/discussions/1":   "is not the address of a file",
		"https://huggingface.co/owner/repo/blob/main/m%zz":  "invalid URL escape",
		"https://huggingface.co/owner/repo/blob/main/x.bin": `the file is "x.bin"`,
		"https://huggingface.co/owner/repo/blob/main/../x":  "the file",
		"hf://a--b/repo:Q4_K_M":                             `the owner is "a--b"`,
		"hf://owner/repo@..":                                `the revision is ".."`,
	} {
		if _, err := Resolve(t.Context(), name, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got  %v\nwant %q in it", name, err, want)
		}
	}
	for _, name := range []string{"model.gguf", "owner/repo", "https://example.org/owner/repo", "./hf.co/x"} {
		if IsName(name) {
			t.Errorf("%s is taken for a name on the hub", name)
		}
	}
}

func TestTheQuantisationChoosesTheFile(t *testing.T) {
	h := newFakeHub(t)
	for _, file := range []string{
		"README.md", "mmproj-m-Q4_K_M.gguf", "m-IQ4_XS.gguf", "m-Q4_K_S.gguf", "m.Q4_K_M.gguf", "m-Q8_0.gguf",
		"big/m-BF16-00001-of-00002.gguf", "big/m-BF16-00002-of-00002.gguf", "a-q5_1.gguf", "b-q5_1.gguf",
	} {
		h.put(commitA, file, []byte(file))
	}
	h.put(commitB, "z-Q2_K.gguf", nil)
	h.put(commitB, "y-Q3_K.gguf", nil)
	o := h.options(t)
	var notes []string
	o.Note = func(note string) { notes = append(notes, note) }
	for name, want := range map[string]string{
		"hf://owner/repo":                                   "m.Q4_K_M.gguf",
		"hf://owner/repo/":                                  "m.Q4_K_M.gguf",
		"https://huggingface.co/owner/repo":                 "m.Q4_K_M.gguf",
		"https://huggingface.co/owner/repo/tree/main":       "m.Q4_K_M.gguf",
		"hf.co/owner/repo:q8_0":                             "m-Q8_0.gguf",
		"hf://owner/repo:Q4_K_M":                            "m.Q4_K_M.gguf",
		"hf://owner/repo:IQ4_XS":                            "m-IQ4_XS.gguf",
		"hf://owner/repo:bf16":                              "big/m-BF16-00001-of-00002.gguf",
		"hf://owner/repo@" + commitB:                        "y-Q3_K.gguf", // the first, where there is no Q4_K_M
		"hf://owner/repo:Q2_K@" + commitB:                   "z-Q2_K.gguf",
		"https://huggingface.co/owner/repo/tree/" + commitB: "y-Q3_K.gguf",
	} {
		notes = nil
		got, err := Resolve(t.Context(), name, o)
		if err != nil || got.File != want {
			t.Errorf("%s: %q, %v; want %q", name, got.File, err, want)
		}
		if named := strings.Contains(strings.TrimPrefix(strings.TrimPrefix(name, "hf:"), "https:"), ":"); named != (len(notes) == 0) {
			t.Errorf("%s: notes %q", name, notes)
		}
	}
	for name, want := range map[string]string{
		"hf://owner/repo:Q4_K":  "has no file of Q4_K; it has a-q5_1.gguf, b-q5_1.gguf, big/m-BF16-00001-of-00002.gguf, m-IQ4_XS.gguf",
		"hf://owner/repo:Q4_XS": "has no file of Q4_XS",
		"hf://owner/repo:Q5_1":  "owner/repo has 2 files of Q5_1: name one of them, as hf://owner/repo/FILE: a-q5_1.gguf, b-q5_1.gguf",
		"hf://owner/repo@v9":    "owner/repo has no revision v9",
		"hf://owner/none":       "there is no repository owner/none",
	} {
		_, err := Resolve(t.Context(), name, o)
		wantError(t, err, want)
	}
}

func TestWithoutTheHubAFileIsChosenFromTheCache(t *testing.T) {
	h := newFakeHub(t)
	h.put(commitA, "m-Q4_K_M.gguf", []byte("four"))
	h.put(commitA, "m-Q8_0.gguf", []byte("eight"))
	o := h.options(t)
	o.Offline = true
	if _, err := Resolve(t.Context(), "hf://owner/repo", o); !errors.Is(err, ErrOffline) {
		t.Errorf("error %v, want %v", err, ErrOffline)
	}
	o.Offline = false
	fetch(t, ref("m-Q8_0.gguf"), o)
	h.hub.Close()
	for _, o.Offline = range []bool{true, false} {
		if got, err := Resolve(t.Context(), "hf://owner/repo", o); err != nil || got.File != "m-Q8_0.gguf" {
			t.Errorf("offline %v: %q, %v; want m-Q8_0.gguf", o.Offline, got.File, err)
		}
	}
}
