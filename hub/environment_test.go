package hub

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestTheEnvironmentMeansWhatItMeansToHuggingfaceHub(t *testing.T) {
	home := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(home, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("login/token", "hf_login\n")
	other := write("other", " hf_other \r\n")
	join := func(parts ...string) string { return filepath.Join(append([]string{home}, parts...)...) }
	for _, test := range []struct {
		name string
		env  map[string]string
		want Options
	}{
		{"nothing", nil, Options{Cache: join(".cache/huggingface/hub")}},
		{"XDG", map[string]string{"XDG_CACHE_HOME": join("x")}, Options{Cache: join("x/huggingface/hub")}},
		{"HF_HOME", map[string]string{"HF_HOME": join("h"), "XDG_CACHE_HOME": join("x")}, Options{Cache: join("h/hub")}},
		{"HF_HUB_CACHE", map[string]string{"HF_HUB_CACHE": join("c"), "HF_HOME": join("h"), "HUGGINGFACE_HUB_CACHE": join("old")}, Options{Cache: join("c")}},
		{"the older name", map[string]string{"HUGGINGFACE_HUB_CACHE": join("old")}, Options{Cache: join("old")}},
		{"a home", map[string]string{"HF_HOME": "~/h"}, Options{Cache: join("h/hub")}},
		{"variables", map[string]string{"HF_HUB_CACHE": "$HOME/c"}, Options{Cache: join("c")}},
		{"HF_ENDPOINT", map[string]string{"HF_ENDPOINT": "http://mirror"}, Options{Cache: join(".cache/huggingface/hub"), Endpoint: "http://mirror"}},
		{"HF_TOKEN", map[string]string{"HF_TOKEN": " hf_env\n", "HF_HOME": join("login")}, Options{Cache: join("login/hub"), Token: "hf_env"}},
		{"logged in", map[string]string{"HF_HOME": join("login")}, Options{Cache: join("login/hub"), Token: "hf_login"}},
		{"not to be used", map[string]string{"HF_HOME": join("login"), "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}, Options{Cache: join("login/hub")}},
		{"HF_TOKEN_PATH", map[string]string{"HF_HOME": join("login"), "HF_TOKEN_PATH": other}, Options{Cache: join("login/hub"), Token: "hf_other"}},
		{"offline", map[string]string{"HF_HUB_OFFLINE": "yes"}, Options{Cache: join(".cache/huggingface/hub"), Offline: true}},
		{"not offline", map[string]string{"HF_HUB_OFFLINE": "0"}, Options{Cache: join(".cache/huggingface/hub")}},
		{"transformers offline", map[string]string{"TRANSFORMERS_OFFLINE": "TRUE"}, Options{Cache: join(".cache/huggingface/hub"), Offline: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range []string{
				"XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ENDPOINT", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN",
				"HF_TOKEN_PATH", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE",
			} {
				t.Setenv(name, test.env[name])
			}
			t.Setenv("HOME", home)
			t.Setenv("USERPROFILE", home)
			got, err := FromEnvironment()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, test.want, cmpopts.IgnoreUnexported(Options{})); diff != "" {
				t.Errorf("options (-got +want):\n%s", diff)
			}
		})
	}
}

func TestATokenThatIsNoneIsRefusedAndNotPrinted(t *testing.T) {
	t.Setenv("HF_TOKEN", "hf_secret\nX-Evil: yes")
	_, err := FromEnvironment()
	if err == nil || !strings.Contains(err.Error(), "HF_TOKEN holds no token") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want an error that names the variable and not its value", err)
	}
}
