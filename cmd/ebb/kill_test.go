package main

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4d217819/ebb/session"
)

// killed runs ebb with --session on prompts that go on with each other, and kills it.
type killed struct {
	t     *testing.T
	model string
	path  string
	took  time.Duration // that a run takes
	left  int           // saves that were under way when the process was killed
}

// command returns a run that answers the nth prompt, with the session if it has a name.
func (k *killed) command(n int, path string) *exec.Cmd {
	prompt := "in the beginning" + strings.Repeat(" was more", n)
	cmd := exec.Command(os.Args[0], "run", "-m", "../../testdata/models/"+k.model+".gguf", "--device", "cpu", "--raw",
		"--ignore-eos", "--max-new-tokens", "4", "--quiet", prompt)
	cmd.Args[0] = "ebb" // as which TestMain runs main
	if path != "" {
		cmd.Args = append(cmd.Args, "--session", path)
	}
	return cmd
}

// run answers a prompt and returns the text.
func (k *killed) run(n int, path string) []byte {
	k.t.Helper()
	cmd := k.command(n, path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	start := time.Now()
	text, err := cmd.Output()
	if err != nil {
		k.t.Fatalf("%v\n%s", err, stderr.String())
	}
	k.took = time.Since(start)
	return text
}

// kill starts a run and kills it: at any moment, or while it saves.
func (k *killed) kill(n int, saving bool) {
	k.t.Helper()
	cmd := k.command(n, k.path)
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it was killed
		close(ended)
	}()
	if saving { // which takes a millisecond: timers are too late for that
		for !k.drafted() && !closed(ended) {
			runtime.Gosched()
		}
		for until := time.Now().Add(rand.N(800 * time.Microsecond)); time.Now().Before(until); {
			runtime.Gosched()
		}
	} else {
		time.Sleep(rand.N(k.took))
	}
	_ = cmd.Process.Kill() // it may have ended
	<-ended
	if k.drafted() {
		k.left++
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// drafted reports whether there is a draft of the session.
func (k *killed) drafted() bool {
	_, err := os.Stat(k.path + ".part")
	return err == nil
}

// tokens returns the tokens of a session that is whole; nil: there is none.
func (k *killed) tokens(path string) []int32 {
	k.t.Helper()
	f, err := session.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		k.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := f.Verify(); err != nil {
		k.t.Fatal(err)
	}
	return slices.Clone(f.Header().Tokens)
}

// However often ebb run is killed, its session is the last whole one, and the next run goes on from
// there with the text of one that was never killed.
func TestAKilledRunLeavesTheSessionWhole(t *testing.T) {
	if testing.Short() || runtime.GOOS == "windows" {
		t.Skip("it takes seconds, and needs kill -9")
	}
	needLibraries(t)
	for _, tt := range []struct {
		model string
		kills int
	}{{"tiny-gqa", 24}, {"tiny-qwen35", 12}} { // rows, and states too
		t.Run(tt.model, func(t *testing.T) {
			if os.Getenv("EBB_TEST_ALL") != "" {
				tt.kills = 400
			}
			killedRuns(t, tt.model, tt.kills)
		})
	}
}

func killedRuns(t *testing.T, model string, kills int) {
	t.Helper()
	const prompts = 6
	dir := t.TempDir()
	k := &killed{t: t, model: model, path: filepath.Join(dir, "talk.ebb")}
	var texts [][]byte
	var saved [][]int32 // by prompt: the tokens of a session that was never killed
	for n := range prompts {
		alone := filepath.Join(dir, "alone.ebb")
		texts = append(texts, k.run(n, ""))
		if text := k.run(n, alone); !bytes.Equal(text, texts[n]) {
			t.Fatalf("prompt %d: %q with a session; want %q", n, text, texts[n])
		}
		saved = append(saved, k.tokens(alone))
	}
	var before []int32
	for i := range kills {
		n := i % prompts
		k.kill(n, i%2 == 0)
		now := k.tokens(k.path)
		if !slices.Equal(now, before) && !slices.Equal(now, saved[n]) {
			t.Fatalf("kill %d: a session of %d tokens; want the old one of %d or the new one of %d", i, len(now), len(before), len(saved[n]))
		}
		if i%4 == 3 {
			if text := k.run(n, k.path); !bytes.Equal(text, texts[n]) {
				t.Fatalf("after kill %d: %q; want %q", i, text, texts[n])
			}
			if k.drafted() {
				t.Fatalf("after kill %d and a run: a draft is left", i)
			}
			now = k.tokens(k.path)
		}
		before = now
	}
	if k.left == 0 {
		t.Error("no save was under way when a process was killed")
	}
	t.Logf("%d of %d kills were in a save", k.left, kills)
}
