package conversation_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/seed4d217819/ebb/conversation"
	"github.com/seed4d217819/ebb/session"
)

// exports returns the folders of exports in a folder.
func exports(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*export-*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// compute computes a prompt, and returns the ID of its conversation.
func (p *process) compute(tokens []int32) string {
	p.t.Helper()
	c, _, err := p.Take(p.t.Context(), conversation.Prompt{Tokens: tokens})
	if err == nil {
		_, err = p.engine.Prefill(p.t.Context(), c.Seq(), tokens[c.Seq().Len():], 1)
	}
	if err := errors.Join(err, p.Put(p.t.Context(), c, nil)); err != nil {
		p.t.Fatal(err)
	}
	return c.ID
}

// What is exported is a session, counts among the files, has no name where the system allows that, and leaves
// nothing.
func TestAnExportLeavesNothing(t *testing.T) {
	system := t.TempDir()
	t.Setenv("TMPDIR", system)
	t.Setenv("TMP", system)
	for _, dir := range []string{"", t.TempDir()} {
		p := startProcess(t, conversation.Options{Dir: dir, DirBytes: 8 << 20})
		in := dir
		if dir == "" {
			in = system
		}
		id := p.compute(numbers(0, 250))
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := p.Stats().Files.Bytes
		var open []*conversation.Export
		for range 4 {
			e, err := p.Export(t.Context(), "", id)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, e)
		}
		if _, err := p.Export(t.Context(), "", id); !errors.Is(err, conversation.ErrExports) {
			t.Errorf("a fifth one: %v; want %v", err, conversation.ErrExports)
		}
		if names := exports(t, in); len(names) > 0 && runtime.GOOS != "windows" {
			t.Errorf("while they are open there are %v", names)
		}
		info, err := open[0].Stat()
		if err != nil {
			t.Fatal(err)
		}
		if now := p.Stats().Files.Bytes; dir != "" && now < before+4*info.Size() {
			t.Errorf("files count %d bytes, and with four exports of %d bytes %d", before, info.Size(), now)
		}
		copied, err := os.Create(filepath.Join(t.TempDir(), "session"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(copied, open[1]); err != nil || copied.Close() != nil {
			t.Fatal(err)
		}
		f, err := session.Open(copied.Name())
		if err != nil || len(f.Header().Tokens) != 250 {
			t.Fatalf("what was exported: %v", err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		for _, e := range open {
			if err := errors.Join(e.Close(), e.Close()); err != nil {
				t.Error(err)
			}
		}
		if _, err := p.Export(t.Context(), "another", id); !errors.Is(err, conversation.ErrUnknown) {
			t.Errorf("to another owner: %v; want %v", err, conversation.ErrUnknown)
		}
		if names, now := exports(t, in), p.Stats().Files.Bytes; len(names) > 0 || now != before {
			t.Errorf("%v are left, and %d bytes count; want %d", names, now, before)
		}
	}
}

// An export that has no room says so, and leaves nothing; nor does one of a process that was killed.
func TestAnExportHasTheRoomOfFiles(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "export-1")
	if err := os.Mkdir(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, "session.part"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, conversation.Options{Dir: dir, DirBytes: 64 << 10})
	if names := exports(t, dir); len(names) > 0 {
		t.Errorf("a killed process has left %v", names)
	}
	id := p.compute(numbers(0, 250))
	for range 5 {
		if _, err := p.Export(t.Context(), "", id); !errors.Is(err, conversation.ErrNoDisk) {
			t.Errorf("%v; want %v", err, conversation.ErrNoDisk)
		}
	}
	if err := p.Flush(t.Context()); err != nil && !errors.Is(err, conversation.ErrNoDisk) {
		t.Log(err) // there is no room for its files either
	}
	if names := exports(t, dir); len(names) > 0 {
		t.Errorf("%v are left", names)
	}
}
