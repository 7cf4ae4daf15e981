package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed4d217819/ebb/ggml"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"bench": main})
}

// TestScripts runs testdata/script/*.txt. They find the tiny models in $MODELS.
func TestScripts(t *testing.T) {
	models, err := filepath.Abs("../../../testdata/models")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("MODELS", models)
			for _, name := range []string{"EBB_GGML", "GGML_VK_VISIBLE_DEVICES", "GGML_NO_BACKTRACE"} {
				if value, ok := os.LookupEnv(name); ok {
					env.Setenv(name, value)
				}
			}
			if cache, err := os.UserCacheDir(); err == nil {
				env.Setenv("XDG_CACHE_HOME", cache) // scripts have no home
			}
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "libs" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			_, err := ggml.Load()
			return !errors.Is(err, ggml.ErrNoLibrary), nil
		},
	})
}

func TestExitStatusTellsMisuseFromFailure(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want int
	}{
		{[]string{"--help"}, exitOK},
		{nil, exitMisuse},
		{[]string{"--sleep"}, exitMisuse},
		{[]string{"-m", "nowhere.gguf"}, exitFailed},
	} {
		if got := run(t.Context(), tt.args, t.Output(), t.Output()); got != tt.want {
			t.Errorf("bench %v: exit status %d, want %d", tt.args, got, tt.want)
		}
	}
}
