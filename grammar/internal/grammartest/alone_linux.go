package grammartest

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const aloneEnv = "EBB_HOSTILE_GRAMMAR"

// Alone runs the body of a test for each of the names in a process of its own, which must end by
// itself and stay small. body returns what became of the name; it must contain what want says. The
// test calls nothing else.
func Alone(t *testing.T, names map[string]string, body func(name string) error) {
	t.Helper()
	if name := os.Getenv(aloneEnv); name != "" {
		if err := body(name); err != nil {
			t.Log(err)
		} else {
			t.Log("works")
		}
		return
	}
	for name, want := range names {
		t.Run(name, func(t *testing.T) { runAlone(t, strings.Split(t.Name(), "/")[0], name, want) })
	}
}

func runAlone(t *testing.T, test, name, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // a hang; seconds are usual
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), aloneEnv+"="+name)
	out, err := cmd.CombinedOutput()
	if len(out) > 2000 {
		out = append(out[:2000:2000], "…"...)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), want) {
		t.Errorf("output %s; want %q", out, want)
	}
	const most = 1 << 20 // KiB; the largest grammars and what is kept of their states take about half
	if used, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok && used.Maxrss > most {
		t.Errorf("%d MiB used", used.Maxrss>>10)
	}
}
