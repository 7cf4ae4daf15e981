package blockfile

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/tier"
)

// impossible returns headers that no file has, by what is wrong with them. Their checksums are right.
func impossible() map[string]*header {
	all := map[string]*header{}
	for what, change := range map[string]func(*header){
		"nothing":                func(*header) {},
		"of kind 7":              func(h *header) { h.kind = 7 },
		"no multiple":            func(h *header) { h.start = 255 },
		"its header has sizes":   func(h *header) { h.start = -256 },
		"rows from token":        func(h *header) { h.windowFrom = 5 },
		"from token 1 of 4":      func(h *header) { h.kind, h.windowFrom = statesKind, 1 },
		"has sizes that no file": func(h *header) { h.tokens = nil },
		"sizes that no file has": func(h *header) { h.tokens = make([]int32, 257) },
		"it has no layers":       func(h *header) { h.sections = nil },
		"layer 0 has 0 bytes":    func(h *header) { h.sections[0].size = 0 },
		"layer 1 has -1 bytes":   func(h *header) { h.sections[1].size = -1 },
		"layer 1 has":            func(h *header) { h.sections[1].size = 1 << 62 },
		"and should have":        func(h *header) { h.sections[1].size = 1 << 39 },
	} {
		all[what] = &header{tokens: []int32{1, 2, 3, 4}, sections: []section{{size: 5}, {size: 6}}}
		change(all[what])
	}
	return all
}

func TestHeadersThatNoFileHasAreRefused(t *testing.T) {
	for what, h := range impossible() {
		b := append(h.encode(), make([]byte, 3*page)...)[:3*page]
		switch _, err := decode(bytes.NewReader(b), int64(len(b))); {
		case what == "nothing" && err != nil:
			t.Errorf("a header that a file may have: %v", err)
		case what != "nothing" && (err == nil || !strings.Contains(err.Error(), what)):
			t.Errorf("%q: %v", what, err)
		}
	}
}

// FuzzOpen reads anything without taking much memory or time, and without a panic. What it finds is a file
// that says so of itself.
func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	s, err := open(dir, Options{}, unsynced())
	if err != nil {
		f.Fatal(err)
	}
	if err := save(s, hybrid(), text(1, 300), 0, 3); err != nil {
		f.Fatal(err)
	}
	if err := save(s, windowed(), text(2, 40), 30); err != nil {
		f.Fatal(err)
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*-*"))
	if err != nil || len(names) != 1 {
		f.Fatal(names, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		whole, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(whole)
	}
	for _, h := range impossible() {
		f.Add(h.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		h, damage := decode(bytes.NewReader(b), int64(len(b)))
		if damage != nil {
			h = &header{tokens: []int32{1}}
		} else if !bytes.Equal(h.encode(), b[:h.bytes()]) {
			t.Error("the header is written differently from what was read")
		}
		key := h.parent.next(h.tokens)
		if err := os.WriteFile(filepath.Join(dir, h.name(key)), b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := open(dir, Options{Bytes: 1 << 40}, unsynced())
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Stats(); (got.Blocks+got.States == 1) != (damage == nil) {
			t.Errorf("%+v; reading the file: %v", got, damage)
		}
		root := Root{key: h.parent}
		for _, one := range h.sections {
			if h.kind == statesKind {
				root.states = append(root.states, one.size)
			} else { // rows of other sizes are not found
				root.rows = append(root.rows, tier.Layout{Heads: 1, KeyBytes: one.size / int64(len(h.tokens))})
			}
		}
		m := s.Find(root, h.tokens)
		if m.Tokens > len(h.tokens) {
			t.Errorf("%d of %d tokens are found", m.Tokens, len(h.tokens))
		}
		for i := range h.sections {
			if h.kind == statesKind && m.Tokens > 0 {
				_, _ = m.State(t.Context(), 0, i, buffer(int(h.sections[i].size))) // damaged states are an error
			} else if m.Tokens > 0 {
				_, _ = m.Read(t.Context(), i, 0, 1, buffer(int(rowsBytes(root.rows[i], BlockTokens))))
			}
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Files with the name of others, and with a checksum that is right, that say they are of another place in
// the text or of other layers, are not found. When what they stand for is written, it takes their place, also
// while somebody holds or reads one of them.
func TestFilesThatAreNotOfTheirRootAreNotFound(t *testing.T) {
	for what, change := range map[string]func(*header){
		"far behind":    func(h *header) { h.start += 1 << 30 },
		"before":        func(h *header) { h.start -= BlockTokens },
		"fewer layers":  func(h *header) { h.sections = h.sections[:1] },
		"larger layers": func(h *header) { h.sections[0].size += page },
	} {
		for _, suffix := range []string{".rows", ".states"} {
			dir, m, prompt := t.TempDir(), hybrid(), text(1, 600)
			s := openStore(t, dir, Options{})
			mustSave(t, s, m, prompt)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			names, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				b, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				h, err := decode(bytes.NewReader(b), int64(len(b)))
				if err != nil {
					t.Fatal(err)
				}
				if h.start < 2*BlockTokens {
					continue
				}
				change(h)
				if err := os.WriteFile(name, append(h.encode(), make([]byte, h.size())...)[:h.size()], 0o600); err != nil {
					t.Fatal(err)
				}
			}
			said := 0
			s = openStore(t, dir, Options{Notify: func(string) { said++ }})
			if n, err := find(t, s, m, prompt); n != 0 || err != nil || s.Stats().Damaged > 0 {
				t.Errorf("%s, %s: %d tokens are found, %v", what, suffix, n, err)
			}
			if err := s.Hold(Held{"a", m.root().Trail(prompt)}); err != nil {
				t.Error(err)
			}
			mustSave(t, s, m, prompt)
			mustFind(t, s, m, prompt, len(prompt))
			if s.Stats().Damaged != 1 || said != 1 {
				t.Errorf("%s, %s: %d forged files were replaced, the operator hears of %d; want 1", what, suffix, s.Stats().Damaged, said)
			}
			if err := s.Free("a"); err != nil {
				t.Error(err)
			}
			mustFind(t, s, m, prompt, len(prompt)) // what was held had its name, and the new one has it now
			s.check(t)
			written := s.Stats().Written
			mustSave(t, s, m, prompt)
			if more := s.Stats().Written - written; more > 0 {
				t.Errorf("%s, %s: %d bytes are written again", what, suffix, more)
			}
		}
	}
}
