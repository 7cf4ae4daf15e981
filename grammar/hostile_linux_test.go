package grammar

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const hostileEnv = "EBB_HOSTILE_GRAMMAR"

// A grammar and a schema may come from anybody. Each is read in a process of its own, which must end by itself and stay small.
func TestHostileGrammarsEndInAnError(t *testing.T) {
	if name := os.Getenv(hostileEnv); name != "" {
		if err := tryHostile(name); err != nil {
			t.Log(err)
		} else {
			t.Log("works")
		}
		return
	}
	for name, g := range hostileGrammars {
		t.Run(name, func(t *testing.T) { runHostile(t, name, g.want) })
	}
	for name, s := range hostileSchemas {
		t.Run("schema "+name, func(t *testing.T) { runHostile(t, "schema "+name, s.want) })
	}
}

func tryHostile(name string) error {
	schema, ok := hostileSchemas[strings.TrimPrefix(name, "schema ")]
	if !ok {
		return tryGrammar(hostileGrammars[name].gbnf)
	}
	gbnf, err := FromSchema([]byte(schema.schema))
	if err != nil {
		return err
	}
	_, err = New(letters(), gbnf)
	return err
}

func runHostile(t *testing.T, name, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // a hang; seconds are usual
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestHostileGrammarsEndInAnError$", "-test.v")
	cmd.Env = append(os.Environ(), hostileEnv+"="+name)
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

// tryGrammar reads a grammar and follows it for some tokens.
func tryGrammar(gbnf string) error {
	w := letters("aa", "aaaa", "aaaaaaaa")
	g, err := New(w, gbnf)
	if err != nil {
		return err
	}
	p := g.Processor(0, nil)
	var ids []int32
	for range 40 {
		scores := make([]float32, len(w))
		if err := p.Process(ids, scores); err != nil {
			return err
		}
		const a = 'a' + 1
		if scores[a] == negInf {
			return errors.New(`"a" is not allowed`)
		}
		ids = append(ids, a)
	}
	return nil
}
