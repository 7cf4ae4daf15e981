package session

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/tier"
)

// header is of a small session with layers of different shapes.
func header(tokens int) Header {
	h := Header{
		Architecture: "llama", Weights: "0123", TypeK: "f16", TypeV: "q8_0",
		Layers: []tier.Layout{{Heads: 2, KeyBytes: 4, ValueBytes: 6}, {Heads: 1, KeyBytes: 3, ValueBytes: 1}},
	}
	for i := range tokens {
		h.Tokens = append(h.Tokens, int32(i*7))
	}
	return h
}

// hybrid is header of a model with recurrent layers. Some of the tokens are pending.
func hybrid(tokens int) Header {
	h := header(tokens)
	h.States = []int64{12, 5000}
	h.Computed = max(0, tokens-2)
	for _, n := range []int{tokens / 3, h.Computed - tokens%2} {
		if n > 0 {
			h.Snapshots = append(h.Snapshots, n) // of an even number of tokens the last one is of all that are computed
		}
	}
	return h
}

// recurrent is header of a model that has recurrent layers alone.
func recurrent(tokens int) Header {
	h := hybrid(tokens)
	h.Layers = nil
	return h
}

// state returns bytes that no other state has.
func state(h Header, snapshot, layer, seed int) []byte {
	s := make([]byte, h.States[layer])
	_, _ = rand.NewChaCha8([32]byte{byte(layer), byte(snapshot), byte(seed), 1}).Read(s)
	return s
}

// block returns bytes that no other block has.
func block(h Header, layer, b, seed int) []byte {
	rows := make([]byte, h.Layers[layer].RowBytes()*BlockCells)
	_, _ = rand.NewChaCha8([32]byte{byte(layer), byte(b), byte(seed)}).Read(rows)
	return rows
}

// save writes a session whose rows depend on a seed.
func save(path string, h Header, seed int, s system) (err error) {
	w, err := create(path, h, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	for l := range h.Layers {
		for b := range w.Blocks() {
			if err := w.Write(l, b, block(h, l, b, seed)); err != nil {
				return err
			}
		}
	}
	for i := range h.statesAt() {
		for l := range h.States {
			if err := w.WriteState(i, l, state(h, i, l, seed)); err != nil {
				return err
			}
		}
	}
	return w.Commit()
}

// check reports whether the session at a path is whole and has the rows of a seed.
func check(path string, h Header, seed int) error {
	f, err := Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if diff := cmp.Diff(f.Header(), h); diff != "" {
		return fmt.Errorf("header (-got +want):\n%s", diff)
	}
	for l := range h.Layers {
		size := int(h.Layers[l].RowBytes() * BlockCells)
		rows := make([]byte, f.layout.blocks*size)
		if err := f.Read(l, 0, f.layout.blocks, rows); err != nil {
			return err
		}
		for b := range f.layout.blocks {
			if !bytes.Equal(rows[b*size:(b+1)*size], block(h, l, b, seed)) {
				return fmt.Errorf("layer %d, block %d: other rows", l, b)
			}
		}
	}
	for i := range h.statesAt() {
		for l := range h.States {
			got := make([]byte, h.States[l])
			if err := f.ReadState(i, l, got); err != nil {
				return err
			}
			if !bytes.Equal(got, state(h, i, l, seed)) {
				return fmt.Errorf("recurrent layer %d, snapshot %d: another state", l, i)
			}
		}
	}
	return f.Verify()
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	for i := range 3 * 6 {
		tokens := []int{0, 1, 255, 256, 257, 1000}[i/3]
		h := []func(int) Header{header, hybrid, recurrent}[i%3](tokens)
		path := filepath.Join(t.TempDir(), "s")
		for seed := range 2 { // the second one replaces the first
			if err := errors.Join(save(path, h, seed, operatingSystem()), check(path, h, seed)); err != nil {
				t.Errorf("%d tokens: %v", tokens, err)
			}
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
			t.Errorf("files: %v; want one", left)
		}
	}
}

func TestEveryFlippedByteIsAnError(t *testing.T) {
	for _, h := range []Header{header(300), hybrid(300)} {
		path := filepath.Join(t.TempDir(), "s")
		if err := save(path, h, 1, operatingSystem()); err != nil {
			t.Fatal(err)
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		padding, rows := f.layout.table+4*int64(len(f.sums))+4, f.layout.rows[0]
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		for at := range int64(len(whole)) {
			if at >= padding && at < rows || at > rows && at%31 != 0 {
				continue
			}
			bad := bytes.Clone(whole)
			bad[at] ^= 1 << (at % 8)
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := check(path, h, 1); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat) {
				t.Fatalf("byte %d flipped: %v; want %v", at, err, ErrDamaged)
			}
		}
	}
}

func TestEveryShortFileIsAnError(t *testing.T) {
	for _, h := range []Header{header(300), hybrid(300)} {
		path := filepath.Join(t.TempDir(), "s")
		if err := save(path, h, 1, operatingSystem()); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		const tokensEnd = 24 + 400 + 4*300 // and more than the header's JSON
		for n := info.Size() - 1; n >= 0; n -= 1 + n/50 {
			if err := os.Truncate(path, n); err != nil {
				t.Fatal(err)
			}
			if err := check(path, h, 1); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat) {
				t.Fatalf("%d bytes: %v; want %v", n, err, ErrDamaged)
			}
			f, err := Open(path)
			if err != nil {
				if n > tokensEnd {
					t.Fatalf("%d bytes, all tokens among them: %v; want them", n, err)
				}
				continue
			}
			if _, rows := f.Rows(); !errors.Is(f.Damage(), ErrDamaged) || !errors.Is(rows, ErrDamaged) || !slices.Equal(f.Header().Tokens, h.Tokens) {
				t.Fatalf("%d bytes: %d tokens, damage %v, rows %v", n, len(f.Header().Tokens), f.Damage(), rows)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Sessions without states are those of the first version, which older programs read; those with states
// are of the second. Later versions are refused by name.
func TestSessionsHaveTheOldestVersionThatHoldsThem(t *testing.T) {
	for want, h := range map[byte]Header{1: header(300), 2: hybrid(300)} {
		path := filepath.Join(t.TempDir(), "s")
		if err := save(path, h, 1, operatingSystem()); err != nil {
			t.Fatal(err)
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := whole[len(magic)]; got != want {
			t.Errorf("%d recurrent layers: version %d; want %d", len(h.States), got, want)
		}
		whole[len(magic)] = 3
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "a newer version has made it") {
			t.Errorf("version 3: %v", err)
		}
	}
}

// Nobody writes, or reads, what no session has.
func TestSnapshotsThatCannotBeAreRefused(t *testing.T) {
	for name, change := range map[string]func(*Header){
		"no order":         func(h *Header) { h.Snapshots = []int{5, 3} },
		"twice":            func(h *Header) { h.Snapshots = []int{5, 5} },
		"no tokens":        func(h *Header) { h.Snapshots = []int{0} },
		"too many tokens":  func(h *Header) { h.Snapshots = []int{10} },
		"no states":        func(h *Header) { h.States = nil },
		"more computed":    func(h *Header) { h.Computed = 10 },
		"fewer computed":   func(h *Header) { h.Computed = 5 },
		"negative":         func(h *Header) { h.Computed, h.Snapshots = -1, nil },
		"an empty state":   func(h *Header) { h.States[0] = 0 },
		"a negative state": func(h *Header) { h.States[1] = -4 },
		"a huge state":     func(h *Header) { h.States[1] = 1 << 62 },
	} {
		h := hybrid(9)
		change(&h)
		path := filepath.Join(t.TempDir(), "s")
		if w, err := Create(path, h); err == nil {
			t.Errorf("%s: written", name)
			_ = w.Close()
		}
		head, err := h.encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, head, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v; want %v", name, err, ErrDamaged)
		}
	}
	path := filepath.Join(t.TempDir(), "s")
	w, err := Create(path, hybrid(9))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	for l := range 2 {
		if err := w.Write(l, 0, block(hybrid(9), l, 0, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteState(0, 0, make([]byte, 11)); err == nil {
		t.Error("a state of 11 bytes was taken; want 12")
	}
	if err := w.Commit(); err == nil || !strings.Contains(err.Error(), "state 0 of recurrent layer 0 was not written") {
		t.Errorf("no state was written: %v", err)
	}
}

func TestAFileThatGetsShorterWhileOpenIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := save(path, header(300), 1, operatingSystem()); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := os.Truncate(path, f.Bytes()-1); err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(); !errors.Is(err, ErrDamaged) {
		t.Errorf("%v; want %v", err, ErrDamaged)
	}
}

func TestOtherFilesAreNoSessions(t *testing.T) {
	dir := t.TempDir()
	later := []byte(magic + "\x03\x00\x00\x00\x00\x00\x00\x00")
	for name, content := range map[string][]byte{"empty": nil, "text": []byte("Why is the sky blue?\n"), "later": later} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v; want %v and the file's name", name, err, ErrFormat)
		}
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestSessionsOfOtherModelsAreRefusedByName(t *testing.T) {
	for _, tt := range []struct {
		change func(*Header)
		want   string
	}{
		{func(h *Header) { h.Architecture = "qwen3" }, "architecture"},
		{func(h *Header) { h.Weights = "4567" }, "weights"},
		{func(h *Header) { h.RoPE = "yarn" }, "position"},
		{func(h *Header) { h.TypeK = "f32" }, "type of keys"},
		{func(h *Header) { h.TypeV = "f32" }, "type of values"},
		{func(h *Header) { h.Layers[1].Heads = 7 }, "shapes"},
		{func(h *Header) { h.States = []int64{8} }, "states"},
	} {
		h := header(3)
		tt.change(&h)
		if err := header(3).Fits(h); !errors.Is(err, ErrModel) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v; want %v with %q", err, ErrModel, tt.want)
		}
	}
	for _, h := range []func(int) Header{header, hybrid} {
		if err := h(3).Fits(h(9)); err != nil {
			t.Errorf("other tokens: %v", err)
		}
	}
}

// faultyFile fails when a count of calls is used up.
type faultyFile struct {
	file
	calls *int
	err   error
}

func (f faultyFile) fail() error {
	if *f.calls--; *f.calls < 0 {
		return f.err
	}
	return nil
}

func (f faultyFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.fail(); err != nil {
		n, _ := f.file.WriteAt(b[:len(b)/2], at) // a full disk takes what fits
		return n, err
	}
	return f.file.WriteAt(b, at)
}

func (f faultyFile) Sync() error { return errors.Join(f.fail(), f.file.Sync()) }

func (f faultyFile) Close() error { return errors.Join(f.file.Close(), f.fail()) }

// faulty is a system of which some calls succeed and all later ones fail.
func faulty(succeed int, fault error) system {
	calls, real := succeed, operatingSystem()
	return system{
		create: func(path string) (file, error) {
			f, err := real.create(path)
			return faultyFile{f, &calls, fault}, err
		},
		rename: func(from, to string) error {
			if err := (faultyFile{nil, &calls, fault}).fail(); err != nil {
				return err
			}
			return real.rename(from, to)
		},
		syncDir: func(dir string) error {
			return errors.Join((faultyFile{nil, &calls, fault}).fail(), real.syncDir(dir))
		},
	}
}

// Whatever fails while a session is saved, the one before is there, whole, and nothing else.
func TestEveryFailedCallOfASaveLeavesTheOldSession(t *testing.T) {
	for _, fault := range []error{syscall.ENOSPC, syscall.EIO} {
		for succeed := 0; ; succeed++ {
			path, h := filepath.Join(t.TempDir(), "s"), hybrid(600)
			if err := save(path, h, 1, operatingSystem()); err != nil {
				t.Fatal(err)
			}
			err := save(path, h, 2, faulty(succeed, fault))
			if err == nil {
				if succeed < 10 {
					t.Fatalf("a save of %d calls: want more", succeed)
				}
				break
			}
			if !errors.Is(err, fault) {
				t.Errorf("call %d: %v; want %v", succeed, err, fault)
			}
			old, renamed := check(path, h, 1), check(path, h, 2)
			if old != nil && renamed != nil { // only the folder's sync comes after the new name
				t.Errorf("call %d: the old session: %v; the new one: %v", succeed, old, renamed)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
				t.Errorf("call %d: files %v; want one", succeed, left)
			}
		}
	}
}

// The child process of the test below: it saves one session after the other until it is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv("EBB_TEST_SAVE"); path != "" {
		for seed := 0; ; seed++ {
			if err := save(path, hybrid(600), seed%2, operatingSystem()); err != nil {
				panic(err)
			}
		}
	}
	m.Run()
}

func TestAProcessKilledAtAnyMomentLeavesAWholeSession(t *testing.T) {
	kills := 40
	if os.Getenv("EBB_TEST_ALL") != "" {
		kills = 500
	}
	path, h := filepath.Join(t.TempDir(), "s"), hybrid(600)
	if err := save(path, h, 0, operatingSystem()); err != nil {
		t.Fatal(err)
	}
	for range kills {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "EBB_TEST_SAVE="+path)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5*time.Millisecond + rand.N(20*time.Millisecond))
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it was killed
		if a, b := check(path, h, 0), check(path, h, 1); a != nil && b != nil {
			t.Fatalf("neither session is there: %v; %v", a, b)
		}
	}
}

func TestALockKeepsOthersOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for range 2 {
		l, err := Acquire(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Acquire(path); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) {
			t.Errorf("second: %v; want %v and the file's name", err, ErrLocked)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := filepath.Glob(path + "*"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// FuzzOpen reads anything without taking much memory or time, and without a panic.
func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), "s")
	if err := save(path, header(300), 1, operatingSystem()); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:200])
	f.Add([]byte(magic))
	if err := save(path, hybrid(300), 1, operatingSystem()); err != nil {
		f.Fatal(err)
	}
	if whole, err = os.ReadFile(path); err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "s")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path)
		if err != nil {
			return
		}
		_ = s.Verify() // damaged rows are an error
		if rows, err := s.Rows(); (err == nil) != (s.Damage() == nil) {
			t.Errorf("rows: %v; damage: %v", err, s.Damage())
		} else if err == nil {
			if err := rows.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
