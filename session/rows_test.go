package session

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/seed4d217819/ebb/internal/directio"
)

// readRows reads all rows of a session as a restore does, and compares them with those of seed 1.
func readRows(ctx context.Context, f *File) error {
	r, err := f.Rows()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	h := f.Header()
	for l := range h.Layers {
		size := int(h.Layers[l].RowBytes() * BlockCells)
		for first := 0; first < f.layout.blocks; first += 2 {
			n := min(2, f.layout.blocks-first)
			buffer := directio.Aligned(make([]byte, n*size+3*directio.Sector), n*size+2*directio.Sector)
			rows, err := r.Read(ctx, l, first, n, buffer)
			if err != nil {
				return err
			}
			want := block(h, l, first, 1)
			if n == 2 {
				want = slices.Concat(want, block(h, l, first+1, 1))
			}
			if !bytes.Equal(rows, want) {
				return errors.New("other rows")
			}
		}
	}
	if computed, snapshots := r.States(); computed != h.Computed || !slices.Equal(snapshots, h.Snapshots) {
		return errors.New("other snapshots")
	}
	for i := range h.statesAt() {
		for l, size := range h.States {
			got, err := r.State(ctx, i, l, directio.Aligned(make([]byte, size+3*directio.Sector), int(size)+2*directio.Sector))
			if err != nil {
				return err
			}
			if !bytes.Equal(got, state(h, i, l, 1)) {
				return errors.New("another state")
			}
		}
	}
	return nil
}

func TestRowsAreReadPastThePageCacheAndThroughIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := save(path, hybrid(1000), 1, operatingSystem()); err != nil {
		t.Fatal(err)
	}
	buffered := realFiles()
	buffered.openDirect = buffered.open
	for name, from := range map[string]files{"past it": realFiles(), "through it": buffered} {
		f, err := openFile(path, from)
		if err != nil {
			t.Fatal(err)
		}
		if err := readRows(t.Context(), f); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := readRows(ctx, f); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v", name, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// faultyInput fails from a read on.
type faultyInput struct {
	readCloser
	reads *int // that succeed
}

func (f faultyInput) ReadAt(b []byte, at int64) (int, error) {
	if *f.reads--; *f.reads < 0 {
		return 0, &os.PathError{Op: "read", Path: "s", Err: syscall.EIO}
	}
	return f.readCloser.ReadAt(b, at)
}

// Whatever read fails, the error says so; only the tokens cannot be had if it is theirs.
func TestEveryFailedReadIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	h := hybrid(600)
	if err := save(path, h, 1, operatingSystem()); err != nil {
		t.Fatal(err)
	}
	for succeed := 0; ; succeed++ {
		reads := succeed
		faulty := func(open func(string) (readCloser, error)) func(string) (readCloser, error) {
			return func(path string) (readCloser, error) {
				f, err := open(path)
				return faultyInput{f, &reads}, err
			}
		}
		real := realFiles()
		f, err := openFile(path, files{faulty(real.open), faulty(real.openDirect)})
		if err == nil {
			if !slices.Equal(f.Header().Tokens, h.Tokens) {
				t.Errorf("read %d fails: other tokens", succeed)
			}
			err = errors.Join(readRows(t.Context(), f), f.Close())
		}
		if err == nil {
			if succeed < 8 {
				t.Errorf("%d reads; want more", succeed)
			}
			return
		}
		if !errors.Is(err, ErrDamaged) || !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), path) {
			t.Errorf("read %d fails: %v; want %v, %v and the file's name", succeed, err, ErrDamaged, syscall.EIO)
		}
	}
}

// Damage behind the tokens leaves the tokens, so that they can be computed anew.
func TestDamagedRowsLeaveTheTokens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	h := hybrid(600)
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
	table, rows := f.layout.table, f.layout.rows
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{table, table + 9, rows[0], rows[0] + 5000, rows[1], int64(len(whole)) - 1} {
		bad := bytes.Clone(whole)
		bad[at] ^= 8
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		if !slices.Equal(f.Header().Tokens, h.Tokens) {
			t.Errorf("byte %d: other tokens", at)
		}
		if err := readRows(t.Context(), f); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("byte %d: %v; want %v and the file's name", at, err, ErrDamaged)
		}
		if err := f.Verify(); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d: %v; want %v", at, err, ErrDamaged)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	f, err = Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Rows(); !errors.Is(err, ErrDamaged) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is gone: %v; want %v", err, ErrDamaged)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	other := filepath.Join(t.TempDir(), "other") // two files swapped: both are whole
	if err := save(other, header(600), 2, operatingSystem()); err != nil {
		t.Fatal(err)
	}
	if err := check(other, h, 1); err == nil {
		t.Error("another session's rows were taken for those of this one")
	}
}

// What a killed process has left of a save is gone with the next lock.
func TestLeftOversAreSwept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for _, name := range []string{path + ".part", path + ".lock"} {
		if err := os.WriteFile(name, []byte("left"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(path + "*"); !slices.Equal(left, []string{path + ".lock"}) {
		t.Errorf("%v is there; want the lock alone", left)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(path + "*"); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

// The disk is given to write what comes in order, and no byte is lost.
func TestADraftIsWrittenWhileItGrows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	f, err := operatingSystem().create(path)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 3*writeBytes)
	_, _ = rand.NewChaCha8([32]byte{3}).Read(want)
	const head = 4096 // it is written last
	for at := head; at < len(want); at += 1 << 20 {
		if _, err := f.WriteAt(want[at:min(at+1<<20, len(want))], int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	if begun := f.(*growingFile).begun; begun < 2*writeBytes {
		t.Errorf("%d bytes are being written; want at least %d", begun, 2*writeBytes)
	}
	if _, err := f.WriteAt(want[:head], 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("other bytes, or %v", err)
	}
}
