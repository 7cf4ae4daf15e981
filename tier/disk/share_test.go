package disk

import (
	"bytes"
	"errors"
	"testing"

	"github.com/seed4d217819/ebb/tier"
)

// twins returns two trees with the same rows in 8 blocks, of which the second borrows the first
// blocks of the first one.
func twins(t *testing.T, s *Store, blocks int) (a, b *Tier, rows *addressable) {
	t.Helper()
	const cells = 8 * tier.BlockCells
	a, rows = filled(t, s, &memory{}, cells)
	b, _ = filled(t, s, &memory{}, cells)
	if err := b.Borrow(t.Context(), a, tier.Run{N: blocks * tier.BlockCells}); err != nil {
		t.Fatal(err)
	}
	return a, b, rows
}

// wantRows compares what a tree has.
func wantRows(t *testing.T, k *Tier, want *addressable) {
	t.Helper()
	got := slot(t, want.cells)
	if err := k.Fetch(t.Context(), 0, tier.Run{N: want.cells}, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.bytes, want.bytes) {
		t.Error("other rows came back")
	}
}

func TestEveryTreeVerifiesSharedBlocks(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		s, f := open(t, o), &faulty{flip: -1}
		s.wrap = func(inner file) file {
			if f.file == nil {
				f.file = inner
				return f
			}
			return inner // only the first tree's file is damaged
		}
		a, b, rows := twins(t, s, 5)
		for at := int64(0); at < 5*a.layers[0].size; at += 4999 {
			f.flip = at
			for name, k := range map[string]*Tier{"owner": a, "borrower": b} {
				if err := k.Fetch(t.Context(), 0, tier.Run{N: rows.cells}, slot(t, rows.cells)); !errors.Is(err, ErrDamaged) {
					t.Fatalf("byte %d flipped, %s: %v; want %v", at, name, err, ErrDamaged)
				}
			}
		}
		f.flip = -1
		wantRows(t, a, rows)
		wantRows(t, b, rows)
	})
}

// Blocks that are in memory are written before another tree refers to them, and stay open.
func TestOpenBlocksAreWrittenToBeShared(t *testing.T) {
	a, b, rows := twins(t, open(t, Options{Dir: t.TempDir()}), 8)
	for i := range a.layers[0].blocks {
		if mine, other := a.layers[0].blocks[i].at, b.layers[0].blocks[i].at; mine != other || !mine.inFile {
			t.Errorf("block %d is not shared, or not in the file", i)
		}
	}
	if got := a.layers[0].open; len(got) != openBlocks {
		t.Errorf("open blocks %v; want %d", got, openBlocks)
	}
	if a.layers[0].blocks[7].buffer == nil || b.layers[0].blocks[7].buffer == nil {
		t.Error("the last block is not in memory any more")
	}
	wantRows(t, a, rows)
	wantRows(t, b, rows)
	// Each stores to the last block, which gets a place of its own.
	for round, k := range []*Tier{a, b} {
		changed := slot(t, rows.cells)
		copy(changed.bytes, rows.bytes)
		for i := range changed.Address(tier.Values, 1, 2000, 1) {
			changed.Address(tier.Values, 1, 2000, 1)[i] = byte(round + 77)
		}
		if err := k.Store(t.Context(), 0, []tier.Run{{Start: 2000, N: 1}}, changed); err != nil {
			t.Fatal(err)
		}
		wantRows(t, k, changed)
	}
}

// What fails while a tree lends blocks changes nothing.
func TestFaultsOfSharingChangeNothing(t *testing.T) {
	const cells = 8 * tier.BlockCells
	s, f := open(t, Options{Dir: t.TempDir()}), &faulty{flip: -1}
	s.wrap = func(inner file) file {
		if f.file == nil {
			f.file = inner
			return f
		}
		return inner
	}
	a, rows := filled(t, s, &memory{}, cells)
	b, _ := filled(t, s, &memory{}, cells)
	before := a.Usage().Plus(b.Usage()).Disk
	f.read = errFault
	if _, err := a.Digest(t.Context(), 0); !errors.Is(err, errFault) {
		t.Errorf("digest: %v; want %v", err, errFault)
	}
	f.read, f.write, f.writes = nil, errFault, 0
	if err := b.Borrow(t.Context(), a, tier.Run{N: cells}); !errors.Is(err, errFault) { // the open blocks cannot be written
		t.Errorf("borrow: %v; want %v", err, errFault)
	}
	f.write = nil
	if got := a.Usage().Plus(b.Usage()).Disk; got != before {
		t.Errorf("%d bytes in files after the errors; want %d", got, before)
	}
	wantRows(t, a, rows)
	wantRows(t, b, rows)
	if err := b.Borrow(t.Context(), a, tier.Run{Start: cells, N: tier.BlockCells}); err == nil {
		t.Error("cells that the other tree does not hold can be borrowed")
	}
	other := open(t, Options{Dir: t.TempDir()})
	c, _ := filled(t, other, &memory{}, cells)
	if err := c.Borrow(t.Context(), a, tier.Run{N: tier.BlockCells}); err == nil {
		t.Error("a tree in another folder can borrow blocks")
	}
}

func TestOnAFullDiskSharedBlocksCannotBeOwned(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	a, b, rows := twins(t, s, 8)
	more := tier.Run{Start: rows.cells, N: len(b.layers[0].room) * tier.BlockCells}
	if err := b.Hold(t.Context(), more); err != nil { // the file has no room beside what is held
		t.Fatal(err)
	}
	s.options.Bytes = s.Bytes()
	if err := b.Own(t.Context(), tier.Run{N: rows.cells}); !errors.Is(err, tier.ErrFull) {
		t.Errorf("own: %v; want %v", err, tier.ErrFull)
	}
	if err := b.Store(t.Context(), 0, []tier.Run{{Start: 1, N: 1}}, rows); !errors.Is(err, tier.ErrFull) {
		t.Errorf("store: %v; want %v", err, tier.ErrFull)
	}
	wantRows(t, a, rows)
	wantRows(t, b, rows)
	s.options.Bytes = 0
	if err := b.Own(t.Context(), tier.Run{N: rows.cells}); err != nil {
		t.Error(err)
	}
	if err := b.Store(t.Context(), 0, []tier.Run{{Start: 1, N: 1}}, rows); err != nil {
		t.Error(err)
	}
	wantRows(t, b, rows)
}

// Where files cannot have holes, nothing is shared, and room that is dropped serves other blocks.
func TestWithoutHolesInFilesNothingIsShared(t *testing.T) {
	const cells = 8 * tier.BlockCells
	s := open(t, Options{Dir: t.TempDir()})
	s.punches = false
	a, rows := filled(t, s, &memory{}, cells)
	b, _ := filled(t, s, &memory{}, cells)
	if err := b.Borrow(t.Context(), a, tier.Run{N: cells}); err == nil {
		t.Error("blocks are shared")
	}
	before := b.Usage().Disk
	b.Drop(tier.Run{N: cells})
	if err := b.Hold(t.Context(), tier.Run{N: cells}); err != nil {
		t.Fatal(err)
	}
	if got := b.Usage().Disk; got != before {
		t.Errorf("%d bytes; want %d: dropped room is used again", got, before)
	}
	if err := b.Store(t.Context(), 0, []tier.Run{{N: cells}}, rows); err != nil {
		t.Fatal(err)
	}
	wantRows(t, b, rows)
}
