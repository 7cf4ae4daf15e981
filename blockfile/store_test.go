package blockfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed4d217819/ebb/tier"
)

func TestWhatWasWrittenIsFoundAndReadAlsoByTheNextProcess(t *testing.T) {
	for name, m := range models() {
		for _, n := range []int{1, 255, 256, 257, 1000} {
			dir, tokens := t.TempDir(), text(n, 1200)
			s := openStore(t, dir, Options{})
			mustSave(t, s, m, tokens[:n], n/2+1)
			for range 2 {
				mustFind(t, s, m, tokens[:n], n)
				mustFind(t, s, m, tokens, n) // a longer prompt
				mustFind(t, s, m, text(7, 300), 0)
				mustFind(t, s, m, nil, 0)
				s.check(t)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = openStore(t, dir, Options{})
			}
			if got := s.Stats(); got.Blocks != len(m.Layers)/2*blocks(n) || got.Damaged != 0 {
				t.Errorf("%s, %d tokens: %+v", name, n, got)
			}
		}
	}
}

// A prompt that leaves a conversation in the middle of a block has the rows up to there. Where layers are
// recurrent, it has those up to the last states before.
func TestAPromptIsFoundUpToWhereItLeavesAnother(t *testing.T) {
	for name, m := range models() {
		s := openStore(t, t.TempDir(), Options{})
		tokens := text(1, 1000)
		mustSave(t, s, m, tokens, 10, 512, 600)
		for _, tt := range []struct{ leaves, states int }{{5, 0}, {511, 10}, {512, 512}, {700, 600}, {999, 600}, {1000, 1000}} {
			prompt := slices.Concat(tokens[:tt.leaves], text(2, 300))
			want := tt.leaves
			if len(m.States) > 0 {
				want = tt.states
			}
			if n, err := find(t, s, m, prompt); n != want || err != nil {
				t.Errorf("%s: a prompt that leaves after %d tokens: found %d, %v; want %d", name, tt.leaves, n, err, want)
			}
		}
	}
}

// What is there is not written again: a conversation that grows writes its last blocks, and one that begins
// like another writes those that differ.
func TestWhatIsThereIsNotWrittenAgain(t *testing.T) {
	m := dense()
	s := openStore(t, t.TempDir(), Options{})
	row := m.Layers[0].RowBytes() + m.Layers[1].RowBytes()
	first, other := text(1, 2000), text(2, 2000)
	for _, tt := range []struct {
		tokens              []int32
		written, kept, here int // tokens whose rows this save wrote; blocks that it did not write, and in the folder after it
	}{
		{first[:600], 600, 0, 3},
		{first[:600], 0, 3, 3},
		{first[:500], 0, 2, 3},   // cut off: its last block is the beginning of one that is there
		{first[:700], 188, 2, 3}, // grows: the longer block takes the shorter one's place
		{first[:800], 288, 2, 4},
		{slices.Concat(first[:512], other[:200]), 200, 2, 5},
		{slices.Concat(first[:300], other[:200]), 244, 1, 6},
	} {
		before := s.Stats()
		mustSave(t, s, m, tt.tokens)
		now := s.Stats()
		if w, k := (now.Written-before.Written)/row, now.Kept-before.Kept; int(w) != tt.written || k != tt.kept || now.Blocks != tt.here {
			t.Errorf("%d tokens: wrote %d tokens, %d blocks were kept, %d are there; want %d, %d, %d", len(tt.tokens), w, k, now.Blocks, tt.written, tt.kept, tt.here)
		}
		mustFind(t, s, m, tt.tokens, len(tt.tokens))
		s.check(t)
	}
}

// A short conversation has a small file: no larger than its rows, but for a page for each layer and the header.
func TestAFileIsAsLargeAsItsRows(t *testing.T) {
	m := dense()
	m.Layers = append(m.Layers, tier.Layout{Heads: 3, KeyBytes: 100, ValueBytes: 50}, tier.Layout{Heads: 2, KeyBytes: 70})
	row := int64(0)
	for _, l := range m.Layers {
		row += l.RowBytes()
	}
	for _, n := range []int{1, 45, 100, 255, 256} {
		dir, tokens := t.TempDir(), text(n, n)
		s := openStore(t, dir, Options{})
		mustSave(t, s, m, tokens)
		if _, bytes := files(t, dir); bytes > row*int64(n)+int64(len(m.Layers)+1)*page || s.Stats().Bytes > bytes+2*page {
			t.Errorf("%d tokens: files of %d bytes, and %d count; want about %d", n, bytes, s.Stats().Bytes, row*int64(n))
		}
		mustFind(t, s, m, tokens, n)
		match := s.Find(m.root(), tokens)
		for l, layout := range m.Layers { // zeros lie behind the rows, as kv's Pool.Save gives them
			dirty := buffer(int(rowsBytes(layout, BlockTokens)))
			for i := range dirty {
				dirty[i] = 0xff
			}
			got, err := match.Read(t.Context(), l, 0, 1, dirty)
			if err != nil || !bytes.Equal(got, m.rows(l, 0, tokens, 0)) {
				t.Errorf("%d tokens, layer %d: %v; want the block that was saved", n, l, err)
			}
		}
		if err := match.Close(); err != nil {
			t.Error(err)
		}
		s.check(t)
	}
}

// A block whose place a longer one takes stays as long as it is read.
func TestABlockThatIsReadOutlivesTheLongerOne(t *testing.T) {
	m, tokens := dense(), text(1, 300)
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	mustSave(t, s, m, tokens[:100])
	match := s.Find(m.root(), tokens[:100])
	mustSave(t, s, m, tokens[:200])
	if names, _ := files(t, dir); len(names) != 2 {
		t.Errorf("files while one is read: %v; want both", names)
	}
	if err := m.compare(t, match, tokens); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := match.Close(); err != nil {
			t.Error(err)
		}
	}
	if names, _ := files(t, dir); len(names) != 1 {
		t.Errorf("files: %v; want the longer one", names)
	}
	s.check(t)

	// What was removed while it is read, and is written again, is the same file.
	match = s.Find(m.root(), tokens)
	if err := s.Remove(m.root().Trail(tokens[:200]), tokens[:200], 0); err != nil {
		t.Fatal(err)
	}
	mustFind(t, s, m, tokens, 0)
	mustSave(t, s, m, tokens[:200])
	if got := s.Stats(); got.Kept != 1 || got.Blocks != 1 {
		t.Errorf("%+v; want one block, which was kept", got)
	}
	if err := errors.Join(m.compare(t, match, tokens), match.Close()); err != nil {
		t.Error(err)
	}
	mustFind(t, s, m, tokens, 200)
	s.check(t)
}

// Those with another salt, or of another model, find nothing, and share nothing.
func TestOtherRootsFindNothing(t *testing.T) {
	m, tokens := hybrid(), text(1, 600)
	s := openStore(t, t.TempDir(), Options{})
	mustSave(t, s, m, tokens)
	for _, change := range []func(*model){
		func(m *model) { m.salt = "b" },
		func(m *model) { m.Weights = "0124" },
		func(m *model) { m.Architecture = "llam"; m.Weights = "a0123" },
		func(m *model) { m.RoPE = "yarn" },
		func(m *model) { m.TypeK = "q8_0" },
		func(m *model) { m.Layers = m.Layers[:1] },
		func(m *model) { m.States = []int64{5000, 12} },
	} {
		other := hybrid()
		change(&other)
		mustFind(t, s, other, tokens, 0)
		before := s.Stats()
		mustSave(t, s, other, tokens)
		if now := s.Stats(); now.Blocks != before.Blocks+3 || now.Kept != before.Kept {
			t.Errorf("%+v: wrote %d blocks; want 3", other, now.Blocks-before.Blocks)
		}
		mustFind(t, s, other, tokens, len(tokens))
	}
}

// A text can go on only where layers with windows have the rows that they see.
func TestAPromptEndsWhereLayersWithWindowsHaveTheirRows(t *testing.T) {
	m, tokens := windowed(), text(1, 1000)
	s := openStore(t, t.TempDir(), Options{})
	if err := save(s, m, tokens, 880); err != nil { // only the last rows were there
		t.Fatal(err)
	}
	mustFind(t, s, m, tokens, 1000)
	mustFind(t, s, m, tokens[:979], 0) // its window begins before token 880
	mustFind(t, s, m, tokens[:980], 980)
	if got := s.Find(m.root(), tokens); got.WindowFrom() != 880 {
		t.Errorf("rows from token %d on; want 880", got.WindowFrom())
	} else if err := got.Close(); err != nil {
		t.Error(err)
	}
	if err := save(s, m, tokens[:300], 0); err != nil { // what was there without the rows is written again
		t.Fatal(err)
	}
	mustFind(t, s, m, tokens[:512], 256) // of the second block, the file with more rows of its tokens counts
	mustFind(t, s, m, tokens[:300], 300)
	if err := save(s, m, tokens, 300); err != nil {
		t.Fatal(err)
	}
	mustFind(t, s, m, tokens[:512], 512)
	mustFind(t, s, m, tokens[:979], 979)
	s.check(t)
}

// The files that were used least recently go first, from the ends of conversations, also after a restart.
func TestTheLeastRecentlyUsedEndGoesFirst(t *testing.T) {
	m, dir := dense(), t.TempDir()
	s := openStore(t, dir, Options{})
	a, b, c := text(1, 768), slices.Concat(text(1, 256), text(2, 512)), text(3, 768)
	for _, tokens := range [][]int32{a, b, c} {
		mustSave(t, s, m, tokens)
	}
	size := s.Stats().Bytes / 8 // c shares nothing, and b the first block of a
	hour := time.Now().Add(-time.Hour)
	for _, e := range s.names {
		if err := os.Chtimes(s.path(e.name), hour, hour); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, Options{})
	if err := s.Find(m.root(), a).Close(); err != nil { // the next process learns of it
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ blocks, a, b, c int }{
		{8, 768, 768, 768}, {6, 768, 512, 512}, {4, 768, 256, 256}, {3, 768, 256, 0}, {2, 512, 256, 0}, {1, 256, 256, 0},
	} {
		s := openStore(t, dir, Options{Bytes: int64(tt.blocks) * size})
		s.check(t)
		if got := s.Stats().Blocks; got != tt.blocks {
			t.Errorf("%d blocks; want %d", got, tt.blocks)
		}
		for _, one := range []struct {
			tokens []int32
			want   int
		}{{a, tt.a}, {b, tt.b}, {c, tt.c}} {
			match := s.Find(m.root(), one.tokens)
			if match.Tokens != one.want {
				t.Errorf("room for %d blocks: found %d; want %d", tt.blocks, match.Tokens, one.want)
			}
			match.stale = nil // the order stays that of before
			if err := match.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What a match or draft has is not evicted; a draft for which there is no room then fails, and what is
// there stays.
func TestFilesInUseAreNotEvicted(t *testing.T) {
	m := dense()
	size := footprint(2*page + 3*page) // 5120 and 1024 bytes of rows, behind a header
	s := openStore(t, t.TempDir(), Options{Bytes: 4 * size})
	a, b := text(1, 768), text(2, 768)
	mustSave(t, s, m, a)
	match := s.Find(m.root(), a)
	if err := save(s, m, b, 0); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), s.dir) {
		t.Errorf("%v; want %v and the folder", err, ErrFull)
	}
	if err := m.compare(t, match, a); err != nil {
		t.Error(err)
	}
	mustFind(t, s, m, b, 256) // the part for which there was room
	if err := match.Close(); err != nil {
		t.Error(err)
	}
	mustSave(t, s, m, b)
	mustFind(t, s, m, b, 768)
	mustFind(t, s, m, a, 256)
	s.check(t)
	if err := save(s, m, text(3, 2000), 0); !errors.Is(err, ErrFull) {
		t.Errorf("longer than the limit: %v; want %v", err, ErrFull)
	}
	s.check(t)
}

// Remove gives up what a conversation alone has.
func TestRemoveLeavesWhatOthersShare(t *testing.T) {
	m := hybrid()
	s := openStore(t, t.TempDir(), Options{})
	a, b := text(1, 1000), slices.Concat(text(1, 600), text(2, 400))
	mustSave(t, s, m, a, 100, 600)
	mustSave(t, s, m, b, 600)
	match := s.Find(m.root(), a)
	if err := s.Remove(m.root().Trail(a), a, 0); err != nil {
		t.Fatal(err)
	}
	mustFind(t, s, m, b, 1000)
	if err := m.compare(t, match, a); err != nil {
		t.Errorf("who reads it still can: %v", err)
	}
	if err := match.Close(); err != nil {
		t.Error(err)
	}
	mustFind(t, s, m, a, 100)
	if err := s.Remove(m.root().Trail(b), b, 0); err != nil {
		t.Fatal(err)
	}
	s.check(t)
	if got := s.Stats(); got.Blocks+got.States != 0 || got.Bytes != 0 {
		t.Errorf("left: %+v", got)
	}
}

func TestAFolderHasOneProcess(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second: %v; want %v and the folder", err, ErrLocked)
	}
	if err := CheckFolder(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("the folder is checked while it is open: %v, want %v", err, ErrLocked)
	}
	m, tokens := dense(), text(1, 300)
	mustSave(t, s, m, tokens)
	match := s.Find(m.root(), tokens)
	d, err := s.Begin(m.root(), text(2, 100), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	other := openStore(t, dir, Options{})
	// What was not closed before the store fails, and harms the next process's files in no way.
	if err := d.Rows(0, 0, m.rows(0, 0, text(2, 100), 0)); !errors.Is(err, ErrClosed) {
		t.Errorf("a draft of a closed store: %v", err)
	}
	if err := errors.Join(s.Remove(m.root().Trail(tokens), tokens, 0), match.Close(), d.Close()); err != nil {
		t.Error(err)
	}
	if _, err := s.Begin(m.root(), tokens, 0); !errors.Is(err, ErrClosed) {
		t.Errorf("Begin: %v; want %v", err, ErrClosed)
	}
	mustFind(t, s, m, tokens, 0)
	mustFind(t, other, m, tokens, 300)
	other.check(t)
}

// Open removes drafts and damaged files of its own, and nothing else.
func TestOpenLeavesFilesOfOthersAlone(t *testing.T) {
	m, dir := dense(), t.TempDir()
	s := openStore(t, dir, Options{})
	mustSave(t, s, m, text(1, 768))
	names, _ := files(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, names[0]))
	if err != nil {
		t.Fatal(err)
	}
	newer := slices.Clone(whole)
	newer[8], newer[12] = version+1, 7 // of a kind that this version does not know
	older := slices.Clone(whole)
	older[8] = version - 1
	end := headerBytes(BlockTokens, len(m.Layers)) - 4
	binary.LittleEndian.PutUint32(older[end:], crc32.Checksum(older[:end], castagnoli))
	hex := strings.Repeat("0123456789abcdef", 4)
	stay := map[string][]byte{
		"notes.txt": nil, "notes.part": nil, hex + ".txt": nil, hex[1:] + ".rows": nil, hex + "-257.rows": nil,
		strings.ToUpper(hex) + ".rows": nil, hex + "-3.states": nil, hex + ".rows": newer,
	}
	gone := map[string][]byte{
		hex + "-12.rows": nil, hex + ".states": []byte("text"), names[0] + ".7" + partSuffix: whole,
		"fedcba98" + hex[8:] + ".rows": whole, // the name of other tokens
		"01" + hex[:62] + ".rows":      older,
	}
	for _, files := range []map[string][]byte{stay, gone} {
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "1123"+hex[4:]+".rows"), 0o700); err != nil {
		t.Fatal(err)
	}
	var notes []string
	s = openStore(t, dir, Options{Notify: func(note string) { notes = append(notes, note) }})
	left, _ := files(t, dir)
	for name := range stay {
		if !slices.Contains(left, name) {
			t.Errorf("%s is gone", name)
		}
	}
	for name := range gone {
		if slices.Contains(left, name) {
			t.Errorf("%s is there", name)
		}
	}
	if got := s.Stats(); got.Damaged != 3 || got.Blocks != 3 || len(notes) != 2 || !strings.Contains(notes[0], "3 damaged files") || !strings.Contains(notes[1], "1 files of an older version") {
		t.Errorf("%+v, notes %q", got, notes)
	}
	mustFind(t, s, m, text(1, 768), 768)
	if got := s.Stats().Bytes; got != 4*footprint(int64(len(whole))) { // what a newer version needs counts
		t.Errorf("%d bytes; want those of 4 files", got)
	}
}

// unreadable is a file on a part of the disk that is broken.
type unreadable struct{ input }

func (unreadable) ReadAt([]byte, int64) (int, error) { return 0, syscall.EIO }

// A file that cannot be read is not removed: it may be whole. Without files to open there is no store.
func TestFilesThatCannotBeReadStay(t *testing.T) {
	m, dir, tokens := dense(), t.TempDir(), text(1, 600)
	s := openStore(t, dir, Options{})
	mustSave(t, s, m, tokens)
	bytes := s.Stats().Bytes
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]func(path string) (input, error){
		"no permission": func(path string) (input, error) {
			return nil, &os.PathError{Op: "open", Path: path, Err: syscall.EACCES}
		},
		"a bad sector": func(path string) (input, error) {
			f, err := os.Open(path)
			return unreadable{f}, err
		},
	} {
		var notes []string
		from := unsynced()
		from.open = fault
		s, err := open(dir, Options{Notify: func(note string) { notes = append(notes, note) }}, from)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Stats(); got.Blocks != 0 || got.Bytes != bytes || got.Damaged != 0 || len(notes) != 2 || !strings.Contains(notes[0], dir) {
			t.Errorf("%s: %+v, notes %q; want the bytes of all files, and two notes", name, got, notes)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	from := unsynced()
	from.open = func(string) (input, error) { return nil, syscall.EMFILE }
	if _, err := open(dir, Options{}, from); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("too many open files: %v", err)
	}

	reads := 0
	from = unsynced()
	read := from.read
	from.read = func(path string, buffer []byte, at int64, n int) ([]byte, error) {
		if reads++; reads == 2 {
			return nil, syscall.EMFILE
		}
		return read(path, buffer, at, n)
	}
	s, err := open(dir, Options{}, from)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := find(t, s, m, tokens); errors.Is(err, ErrDamaged) || !errors.Is(err, syscall.EMFILE) {
		t.Errorf("too many open files: %v; want %v, and not that the file is damaged", err, syscall.EMFILE)
	}
	mustFind(t, s, m, tokens, 600)
	s.check(t)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestFoldersThatCannotBeUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, Options{}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file: %v", err)
	}
	if _, err := Open(t.TempDir(), Options{Bytes: -1}); err == nil {
		t.Error("-1 bytes: no error")
	}
	s := openStore(t, filepath.Join(t.TempDir(), "a", "b"), Options{})
	if free, err := freeBytes(s.dir); err != nil || s.Stats().Limit < free/4 || s.Stats().Limit > free {
		t.Errorf("limit %d, %d bytes free, %v; want about half", s.Stats().Limit, free, err)
	}
}

// Mistakes in numbers and sizes are errors, and harm nothing.
func TestWrongSizesAreErrors(t *testing.T) {
	m, tokens := hybrid(), text(1, 300)
	s := openStore(t, t.TempDir(), Options{})
	begin := func() *Draft {
		t.Helper()
		d, err := s.Begin(m.root(), tokens, 0)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	rows := m.rows(0, 0, tokens, 0)
	for name, write := range map[string]func(*Draft) error{
		"block -1":       func(d *Draft) error { return d.Rows(0, -1, rows) },
		"block 2":        func(d *Draft) error { return d.Rows(0, 2, rows) },
		"layer -1":       func(d *Draft) error { return d.Rows(-1, 0, rows) },
		"layer 2":        func(d *Draft) error { return d.Rows(2, 0, rows) },
		"short":          func(d *Draft) error { return d.Rows(0, 0, rows[1:]) },
		"twice":          func(d *Draft) error { return errors.Join(d.Rows(0, 0, rows), d.Rows(0, 0, rows)) },
		"state 0":        func(d *Draft) error { return d.State(0, 0, make([]byte, 12)) },
		"state 301":      func(d *Draft) error { return d.State(301, 0, make([]byte, 12)) },
		"short state":    func(d *Draft) error { return d.State(3, 0, make([]byte, 11)) },
		"state layer -1": func(d *Draft) error { return d.State(3, -1, make([]byte, 12)) },
	} {
		d := begin()
		if err := write(d); err == nil {
			t.Errorf("%s: no error", name)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		s.check(t)
	}
	mustSave(t, s, m, tokens)
	match := s.Find(m.root(), tokens)
	for name, read := range map[string]func() ([]byte, error){
		"layer":        func() ([]byte, error) { return match.Read(t.Context(), 2, 0, 1, buffer(9999)) },
		"blocks":       func() ([]byte, error) { return match.Read(t.Context(), 0, 1, 2, buffer(99999)) },
		"buffer":       func() ([]byte, error) { return match.Read(t.Context(), 0, 0, 2, buffer(10239)) },
		"number":       func() ([]byte, error) { return match.State(t.Context(), 1, 0, buffer(12)) },
		"state layer":  func() ([]byte, error) { return match.State(t.Context(), 0, 2, buffer(12)) },
		"state buffer": func() ([]byte, error) { return match.State(t.Context(), 0, 1, buffer(12)) },
	} {
		if _, err := read(); err == nil || errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := match.Close(); err != nil {
		t.Error(err)
	}
	mustFind(t, s, m, tokens, 300)
}
