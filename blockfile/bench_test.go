package blockfile

import (
	"errors"
	"os"
	"strconv"
	"testing"

	"github.com/seed4d217819/ebb/session"
	"github.com/seed4d217819/ebb/tier"
)

// deep returns a model of some layers with rows of 1 KiB, and a store with conversations of it. A block of
// a layer has 256 KiB, as in a model of 1B parameters.
func deep(b *testing.B, layers, conversations, tokens int, rowBytes int64) (*Store, model, string) {
	b.Helper()
	dir := b.TempDir()
	s, err := open(dir, Options{}, unsynced())
	if err != nil {
		b.Fatal(err)
	}
	m := model{Header: session.Header{Architecture: "llama"}}
	for range layers {
		m.Layers = append(m.Layers, tier.Layout{Heads: 1, KeyBytes: rowBytes / 2, ValueBytes: rowBytes / 2})
	}
	rows := make([]byte, rowBytes*BlockTokens)
	for i := range conversations {
		d, err := s.Begin(m.root(), text(i, tokens), 0)
		if err != nil {
			b.Fatal(err)
		}
		for _, block := range d.Missing() {
			for l := range layers {
				if err := d.Rows(l, block, rows); err != nil {
					b.Fatal(err)
				}
			}
		}
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
	}
	return s, m, dir
}

// BenchmarkOpen opens a folder of 10,000 blocks.
func BenchmarkOpen(b *testing.B) {
	s, _, dir := deep(b, 1, 100, 100*BlockTokens, 4)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(dir, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if got := s.Stats().Blocks; got != 10_000 {
			b.Fatalf("%d blocks; want 10,000", got)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFind finds a conversation of 100,000 tokens among others.
func BenchmarkFind(b *testing.B) {
	s, m, _ := deep(b, 1, 10, 100_000, 4)
	prompt := text(3, 100_000)
	for b.Loop() {
		match := s.Find(m.root(), prompt)
		if match.Tokens != len(prompt) {
			b.Fatalf("found %d tokens", match.Tokens)
		}
		if err := match.Close(); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkWrite writes a conversation of 4,000 tokens, until it is on the disk.
func BenchmarkWrite(b *testing.B) {
	const layers, tokens, rowBytes = 16, 4096, 1024
	s, m, _ := deep(b, layers, 0, 0, rowBytes)
	s.system = operatingSystem()
	rows := make([]byte, rowBytes*BlockTokens)
	b.SetBytes(layers * tokens * rowBytes)
	for i := 0; b.Loop(); i++ {
		tokens := text(i, tokens)
		d, err := s.Begin(m.root(), tokens, 0)
		if err != nil {
			b.Fatal(err)
		}
		for _, block := range d.Missing() {
			for l := range layers {
				if err := d.Rows(l, block, rows); err != nil {
					b.Fatal(err)
				}
			}
		}
		if err := errors.Join(d.Close(), s.Remove(m.root().Trail(tokens), tokens, 0)); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRead reads a conversation of 4,000 tokens as a restore does: 1 MiB at a time, four at once. One of
// the two reads as fast as the disk can through one file.
func BenchmarkRead(b *testing.B) {
	const layers, tokens, rowBytes = 16, 4096, 1024
	s, m, dir := deep(b, layers, 1, tokens, rowBytes)
	total := int64(layers * tokens * rowBytes)
	const each = 4 // blocks
	work := func(b *testing.B, read func(layer, first int, buffer []byte) error) {
		b.Helper()
		b.SetBytes(total)
		for b.Loop() {
			items, failed := make(chan int), make(chan error, 4)
			for range 4 {
				go func() {
					buffer, err := buffer(each*rowBytes*BlockTokens), error(nil)
					for i := range items {
						if err == nil {
							err = read(i/(tokens/BlockTokens/each), i%(tokens/BlockTokens/each)*each, buffer)
						}
					}
					failed <- err
				}()
			}
			for i := range layers * tokens / BlockTokens / each {
				items <- i
			}
			close(items)
			for range 4 {
				if err := <-failed; err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("blocks", func(b *testing.B) {
		match := s.Find(m.root(), text(0, tokens))
		work(b, func(layer, first int, buffer []byte) error {
			_, err := match.Read(b.Context(), layer, first, each, buffer)
			return err
		})
		if err := match.Close(); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("one_file", func(b *testing.B) {
		path := dir + "/" + strconv.Itoa(int(total))
		if err := os.WriteFile(path, make([]byte, total), 0o600); err != nil {
			b.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		var r rowReader
		work(b, func(layer, first int, buffer []byte) error {
			const size = rowBytes * BlockTokens
			_, err := r.read(path, buffer, int64(layer*tokens*rowBytes+first*size), each*size)
			return err
		})
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	})
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
