package conversation_test

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/seed4d217819/ebb/conversation"
)

// Whatever others pin, delete, export and list meanwhile, prompts go on, each conversation is listed once, and
// nothing is left when all are deleted.
func TestConversationsAreChangedWhileTheyAreUsed(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, conversation.Options{Dir: dir, DirBytes: 4 << 20})
	none := p.engine.Stats().Cache
	for round := range 2 {
		stop := make(chan struct{})
		var others sync.WaitGroup
		for worker := range 3 {
			others.Go(func() {
				random := rand.New(rand.NewPCG(uint64(round), uint64(worker)))
				for {
					select {
					case <-stop:
						return
					default:
					}
					all := p.List("")
					for i, c := range all {
						if slices.ContainsFunc(all[:i], func(other conversation.Info) bool { return other.ID == c.ID }) {
							t.Errorf("%s is listed twice", c.ID)
						}
					}
					if len(all) == 0 {
						continue
					}
					id := all[random.IntN(len(all))].ID
					var err error
					switch random.IntN(4) {
					case 0:
						err = p.Pin("", id, random.IntN(2) == 0)
					case 1:
						err = p.Delete("", id)
					default:
						seq, failed := p.Fork(t.Context(), "", id)
						if err = failed; err == nil {
							err = seq.Close()
						}
					}
					if err != nil && !errors.Is(err, conversation.ErrUnknown) && !errors.Is(err, conversation.ErrBusy) &&
						!errors.Is(err, conversation.ErrPinned) && !conversation.Damaged(err) {
						t.Error(err)
					}
				}
			})
		}
		random := rand.New(rand.NewPCG(uint64(round), 99))
		talks := [][]int32{numbers(0, 40)}
		for range 50 {
			tokens := talks[random.IntN(len(talks))]
			tokens = slices.Concat(tokens[:1+random.IntN(len(tokens))], numbers(random.IntN(100), 1+random.IntN(150)))
			if len(tokens) < 1000 {
				talks = append(talks, tokens)
			}
			c, _, err := p.Take(t.Context(), conversation.Prompt{Tokens: tokens, Turn: random.IntN(len(tokens))})
			if err != nil {
				t.Fatal(err)
			}
			_, lost := p.engine.Prefill(t.Context(), c.Seq(), tokens[c.Seq().Len():], 1)
			if lost != nil && !conversation.Damaged(lost) {
				t.Fatal(lost)
			}
			if err := p.Put(t.Context(), c, lost); err != nil {
				t.Fatal(err)
			}
			if random.IntN(5) == 0 {
				if _, err := p.MakeRoom(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		close(stop)
		others.Wait()
		p.restart()
	}
	for _, c := range p.List("") {
		if err := p.Delete("", c.ID); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.restart()
	records, _ := filepath.Glob(filepath.Join(dir, "conversations", "*"))
	if all := p.List(""); len(all)+len(records) != 0 {
		t.Errorf("%d conversations and %d records are left when all are deleted", len(all), len(records))
	}
	if left := p.engine.Stats().Cache; left.DeviceBytes != none.DeviceBytes {
		t.Errorf("%d bytes are left; want %d", left.DeviceBytes, none.DeviceBytes)
	}
}
