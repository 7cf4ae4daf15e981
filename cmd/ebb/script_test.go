package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ebb": main})
}

// TestScripts runs testdata/script/*.txt. The scripts find the tiny models in $MODELS, a tiny model with a
// chat template at $WORK/chat.gguf, one that has recurrent layers, too, at $WORK/states.gguf, one of an
// architecture that nobody knows at $WORK/unknown.gguf, tiny-gqa in three parts at
// $SPLIT/split-0000N-of-00003.gguf, both also on a hub as hf://owner/repo/NAME, and, under the condition
// smollm2, the real one at $SMOLLM2.
func TestScripts(t *testing.T) {
	models, err := filepath.Abs("../../testdata/models")
	if err != nil {
		t.Fatal(err)
	}
	split := testmodel.Split(t, filepath.Join(models, "tiny-gqa.gguf"), 3, func(i int) int { return i % 3 })
	hub := newHub(t, models, filepath.Dir(split[0]))
	var one sync.Mutex // ggml's threads spin: scripts that run side by side slow each other down by more than half
	params := testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			one.Lock()
			env.Defer(one.Unlock)
			env.Setenv("MODELS", models)
			env.Setenv("SPLIT", filepath.Dir(split[0]))
			env.Setenv("HF_ENDPOINT", hub.URL)
			env.Setenv("HF_HOME", filepath.Join(env.WorkDir, "hf"))
			env.Setenv("SMOLLM2", smolLM2())
			for _, name := range []string{"EBB_GGML", "GGML_VK_VISIBLE_DEVICES", "GGML_NO_BACKTRACE"} {
				if value, ok := os.LookupEnv(name); ok {
					env.Setenv(name, value)
				}
			}
			if cache, err := os.UserCacheDir(); err == nil {
				env.Setenv("XDG_CACHE_HOME", cache) // scripts have no home
			}
			return errors.Join(
				writeChatModel(filepath.Join(env.WorkDir, "chat.gguf")),
				writeToolModel(filepath.Join(env.WorkDir, "tools.gguf")),
				writeTinyModel(filepath.Join(env.WorkDir, "states.gguf"), "tiny-qwen35", gguf.KV{Key: "tokenizer.chat_template", Value: chatTemplate}),
				writeTinyModel(filepath.Join(env.WorkDir, "unknown.gguf"), "tiny-gqa", gguf.KV{Key: "general.architecture", Value: "abacus"}),
			)
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "libs":
				return haveLibraries(), nil
			case "gpu":
				return haveGPU(), nil
			case "smollm2":
				_, err := os.Stat(smolLM2())
				return err == nil, nil
			default:
				return false, fmt.Errorf("unknown condition %q", name)
			}
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"fails": fails, "bom": bom, "ask": ask},
	}
	if testing.Short() { // scripts that compute with no model
		params.Dir = ""
		for _, name := range []string{"bad_model", "help", "inspect", "misuse", "no_libraries", "plan"} {
			params.Files = append(params.Files, filepath.Join("testdata", "script", name+".txt"))
		}
	}
	testscript.Run(t, params)
}

// fails is the script command `fails STATUS COMMAND [ARG…]`: the command must exit with that
// status.
func fails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: fails STATUS COMMAND [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != want {
		ts.Fatalf("%v: got %v, want exit status %d", args[1:], err, want)
	}
}

// bom is the script command `bom FROM TO`: it copies a file and puts a byte order mark in front.
func bom(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: bom FROM TO")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte("\uFEFF"+ts.ReadFile(args[0])), 0o666))
}

func haveLibraries() bool {
	_, err := ggml.Load()
	return !errors.Is(err, ggml.ErrNoLibrary)
}

// haveGPU reports whether ggml lists a device beside the CPU.
func haveGPU() bool {
	library, err := ggml.Load()
	return err == nil && len(library.Devices()) > 1
}

// needLibraries skips a test that cannot run without ggml.
func needLibraries(t *testing.T) {
	t.Helper()
	if !haveLibraries() {
		t.Skip("no ggml libraries: run make libs")
	}
}

// smolLM2 returns where the real model is, if it was fetched.
func smolLM2() string {
	if path := os.Getenv("EBB_TEST_MODEL"); path != "" {
		return path
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "ebb", "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
}
