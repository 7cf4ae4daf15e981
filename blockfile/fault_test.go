package blockfile

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// faults makes calls of a system fail: one of them, or one and all later ones.
type faults struct {
	err     error
	succeed int  // calls before the first one that fails
	forever bool // all later ones fail, too
	calls   int
}

func (f *faults) fail() error {
	f.calls++
	if n := f.calls - f.succeed; n == 1 || n > 1 && f.forever {
		return f.err
	}
	return nil
}

func (f *faults) system() system {
	real := unsynced()
	return system{
		open: real.open,
		create: func(path string) (file, error) {
			if err := f.fail(); err != nil {
				return nil, err
			}
			opened, err := real.create(path)
			return faultyFile{opened, f}, err
		},
		read: func(path string, buffer []byte, at int64, n int) ([]byte, error) {
			if err := f.fail(); err != nil {
				return nil, err
			}
			return real.read(path, buffer, at, n)
		},
		rename: func(from, to string) error {
			if err := f.fail(); err != nil {
				return err
			}
			return real.rename(from, to)
		},
		remove: func(path string) error {
			if err := f.fail(); err != nil {
				return err
			}
			return real.remove(path)
		},
		syncDir: func(dir string) error { return errors.Join(f.fail(), real.syncDir(dir)) },
		chtimes: func(path string, t time.Time) error { return errors.Join(f.fail(), real.chtimes(path, t)) },
	}
}

type faultyFile struct {
	file
	of *faults
}

func (f faultyFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.of.fail(); err != nil {
		n, _ := f.file.WriteAt(b[:len(b)/2], at) // a full disk takes what fits
		return n, err
	}
	return f.file.WriteAt(b, at)
}

func (f faultyFile) Truncate(size int64) error {
	return errors.Join(f.of.fail(), f.file.Truncate(size))
}

func (f faultyFile) Sync() error { return errors.Join(f.of.fail(), f.file.Sync()) }

func (f faultyFile) Stat() (os.FileInfo, error) {
	info, err := f.file.Stat()
	return info, errors.Join(f.of.fail(), err)
}

func (f faultyFile) Close() error { return errors.Join(f.file.Close(), f.of.fail()) }

// Whichever call fails while a store writes, makes room and reads: the error says so, what was kept is there
// unless it was to make room, no wrong row is read, the limit holds, and the store goes on.
func TestEveryFailedCallLosesNoMoreThanItsBlock(t *testing.T) {
	m := hybrid()
	kept, fresh := text(1, 600), text(2, 1000)
	const room = 10 // of 14 files: some are evicted
	for _, fault := range []error{syscall.ENOSPC, syscall.EIO} {
		for i := 0; ; i++ {
			f := &faults{err: fault, succeed: i, forever: errors.Is(fault, syscall.ENOSPC)}
			if failAt(t, m, kept, fresh, room*footprint(5*page), f) {
				if f.calls < 60 {
					t.Fatalf("%d calls: want more", f.calls)
				}
				break
			}
		}
	}
}

func TestAFullDiskIsSaidToBeOne(t *testing.T) {
	s, err := open(t.TempDir(), Options{}, (&faults{err: syscall.ENOSPC, succeed: 2}).system())
	if err != nil {
		t.Fatal(err)
	}
	m, tokens := dense(), text(1, 100)
	err = save(s, m, tokens, 0)
	if !errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) || !strings.HasPrefix(err.Error(), "blockfile: writing "+s.dir) {
		t.Errorf("%v; want %v, and the file's name", err, ErrFull)
	}
	mustSave(t, s, m, tokens)
	mustFind(t, s, m, tokens, 100)
	s.check(t)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// failAt reports whether no call was made to fail.
func failAt(t *testing.T, m model, kept, fresh []int32, limit int64, f *faults) bool {
	t.Helper()
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	mustSave(t, s, m, kept, 300)
	mustSave(t, s, m, fresh[:700])
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := open(dir, Options{Bytes: limit}, f.system())
	if err != nil {
		t.Fatal(err) // nothing is evicted yet
	}
	saved := save(s, m, fresh, 0, 300, 800)
	n, read := find(t, s, m, fresh)
	damaged := s.Stats().Damaged
	_, bytes := files(t, dir)
	used, evicted := s.Stats().Bytes, s.Stats().Evicted
	reached := f.calls > f.succeed
	*f = faults{succeed: 1 << 30, calls: f.calls}
	name := fmt.Sprintf("call %d fails", f.calls)
	switch {
	case bytes > limit || used > limit:
		t.Errorf("%s: %d bytes, %d booked; want at most %d", name, bytes, used, limit)
	case !reached && evicted == 0:
		t.Errorf("%s: nothing was evicted", name)
	case errors.Is(saved, errOther) || errors.Is(read, errOther):
		t.Errorf("%s: %v, %v", name, saved, read)
	case reached && saved == nil && read == nil && n != 1000:
		t.Errorf("%s: no error, and %d tokens are found", name, n)
	case read != nil && damaged == 0:
		t.Errorf("%s: %v, and the file is there", name, read)
	}
	again := save(s, m, fresh, 0, 300, 800)
	if n, err := find(t, s, m, fresh); again != nil || n != 1000 || err != nil {
		t.Errorf("%s: then %v, found %d, %v", name, again, n, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = openStore(t, dir, Options{Bytes: limit})
	s.check(t)
	mustFind(t, s, m, fresh, 1000)
	if n, err := find(t, s, m, kept); err != nil || n != 0 && n != 300 && n != 600 {
		t.Errorf("%s: of the other conversation %d tokens, %v", name, n, err)
	}
	return !reached
}

// Whatever bytes of a file change: it is an error that names the file, or its tokens are computed again.
func TestEveryFlippedByteIsFound(t *testing.T) {
	m, tokens := hybrid(), text(1, 300)
	flip := func(counts func(whole []byte, at int) bool, change func(path string, whole []byte, at int)) {
		dir := t.TempDir()
		s := openStore(t, dir, Options{})
		mustSave(t, s, m, tokens, 200)
		names, _ := files(t, dir)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			path := filepath.Join(dir, name)
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for at := 0; at < len(whole); at += 1 + at/10 {
				change(path, bytes.Clone(whole), at)
				s := openStore(t, dir, Options{})
				n, err := find(t, s, m, tokens)
				if errors.Is(err, errOther) || err != nil && (!errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path)) {
					t.Fatalf("byte %d: %v; want %v and %s", at, err, ErrDamaged, path)
				}
				want := 0
				if counts(whole, at) {
					want = 1
				}
				if damaged := s.Stats().Damaged; damaged != want || want == 0 && (n != 300 || err != nil) {
					t.Fatalf("%s: byte %d: %d damaged files; found %d, %v; want %d", name, at, damaged, n, err, want)
				}
				s.check(t)
				mustSave(t, s, m, tokens, 200)
				mustFind(t, s, m, tokens, 300)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	flip(inContent, func(path string, b []byte, at int) {
		b[at] ^= 1 << (at % 8)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	flip(func([]byte, int) bool { return true }, func(path string, _ []byte, at int) {
		if err := os.Truncate(path, int64(at)); err != nil {
			t.Fatal(err)
		}
	})
}

// inContent reports whether a byte of a file is not padding.
func inContent(whole []byte, at int) bool {
	h, err := decode(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		return true
	}
	for i, s := range h.sections {
		if from := h.offset(i); at >= int(from) && at < int(from+s.size) {
			return true
		}
	}
	return at < h.bytes()
}

// Files that change while the store is open are found when they are read, and then not any more.
func TestFilesThatChangeWhileTheStoreIsOpen(t *testing.T) {
	m, tokens := hybrid(), text(1, 600)
	for name, change := range map[string]func(path string) error{
		"gone":  os.Remove,
		"short": func(path string) error { return os.Truncate(path, page+1) },
		"other": func(path string) error { return os.WriteFile(path, make([]byte, 20000), 0o600) },
	} {
		for i := range 4 {
			dir := t.TempDir()
			s := openStore(t, dir, Options{})
			mustSave(t, s, m, tokens)
			names, _ := files(t, dir)
			path := filepath.Join(dir, names[i])
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			if _, err := find(t, s, m, tokens); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v; want %v and %s", name, err, ErrDamaged, path)
			}
			mustFind(t, s, m, tokens, 0) // without states, or the rows before them, no text goes on
			mustSave(t, s, m, tokens)
			mustFind(t, s, m, tokens, 600)
			s.check(t)
		}
	}
}

// The conversations of the child process of the test below, and its limit.
func killed(i int) (m model, tokens []int32) {
	m = []model{dense(), hybrid()}[i%2]
	return m, slices.Concat(text(i%3, 400), text(i, 200+i%7*50))
}

const killedBytes = 40 * 24 << 10

// The child process saves conversations, and finds and removes some, until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("EBB_TEST_BLOCKS"); dir != "" {
		if err := saveForever(dir); err != nil {
			panic(err)
		}
	}
	m.Run()
}

func saveForever(dir string) error {
	s, err := Open(dir, Options{Bytes: killedBytes})
	if err != nil {
		return err
	}
	for {
		i := rand.N(50)
		m, tokens := killed(i)
		if err := save(s, m, tokens, 0, 300); err != nil {
			return err
		}
		if rand.N(4) == 0 {
			if err := s.Remove(m.root().Trail(tokens), tokens, 0); err != nil {
				return err
			}
		}
	}
}

func TestAProcessKilledAtAnyMomentLeavesWholeFiles(t *testing.T) {
	kills := 20
	if os.Getenv("EBB_TEST_ALL") != "" {
		kills = 500
	}
	dir, hits := t.TempDir(), 0
	for range kills {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "EBB_TEST_BLOCKS="+dir)
		var said bytes.Buffer
		child.Stderr = &said
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Millisecond + rand.N(60*time.Millisecond))
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it was killed
		if strings.Contains(said.String(), "panic") {
			t.Fatal(said.String())
		}
		if _, bytes := files(t, dir); bytes > killedBytes {
			t.Errorf("files take %d bytes; want at most %d", bytes, killedBytes)
		}
		s := openStore(t, dir, Options{Bytes: killedBytes})
		s.check(t)
		for i := range 50 {
			m, tokens := killed(i)
			if n, err := find(t, s, m, tokens); err != nil {
				t.Fatal(err)
			} else if n > 0 {
				hits++
			}
		}
		if n := s.Stats().Damaged; n > 0 {
			t.Fatalf("%d damaged files", n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if hits == 0 {
		t.Error("no conversation was ever found")
	}
}
