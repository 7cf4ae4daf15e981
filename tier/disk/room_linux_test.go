package disk

import (
	"os"
	"syscall"
	"testing"

	"github.com/seed4d217819/ebb/tier"
)

// allocated returns how many bytes a file takes on the disk.
func allocated(t *testing.T, f *os.File) int64 {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

// Room that no tree needs returns to the file system, also of a file whose tree is closed.
func TestRoomReturnsToTheFileSystem(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	if !s.punches {
		t.Skip("the file system of the temporary folder cannot punch holes")
	}
	a, b, rows := twins(t, s, 5)
	mine, other := a.shelf.file.(*rowFile).File, b.shelf.file.(*rowFile).File
	block := a.layers[0].size
	check := func(what string, f *os.File, want int64) {
		t.Helper()
		if got := allocated(t, f); got < want || got > want+block { // a file system has its own units
			t.Errorf("%s: %d bytes on the disk; want %d", what, got, want)
		}
	}
	run := int64(a.layers[0].run) * block
	check("the tree that lends", mine, run)
	check("the tree that borrows", other, run-5*block)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	check("five blocks of a tree that is closed", mine, 5*block)
	if got, want := b.Usage().Disk, run; got != want || s.Bytes() != want {
		t.Errorf("%d bytes count, %d are booked; want %d", got, s.Bytes(), want)
	}
	wantRows(t, b, rows)
	b.Drop(tier.Run{N: 2 * tier.BlockCells})
	check("three blocks are left", mine, 3*block)
	b.Drop(tier.Run{N: 5 * tier.BlockCells})
	if _, err := mine.Stat(); err == nil {
		t.Error("the file is open, though no tree needs it")
	}
}
