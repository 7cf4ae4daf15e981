package llamacpp

import (
	"errors"
	"fmt"
	"unsafe"
)

// The sequences of a context. All lie in the same memory, and a cell may belong to several.
const (
	decoded   = 0 // the one that attention sees
	original  = 1 // the positions decoded before the first Repeat
	copied    = 2 // the positions that are being copied
	marked    = 3 // of a hybrid: those to which Truncate can go back
	sequences = 4
)

// all stands for every position as a start, and for no limit as an end.
const all = -1

// ErrWindow reports positions of a model that cannot be repeated.
var ErrWindow = errors.New("all positions must be computed, as the model has layers with a window")

// Repeat fills the next n positions with copies of the K/V of the positions decoded before the
// first Repeat, from the first on, again and again. It computes nothing: it serves to measure at a
// depth that would take long to compute. The text that follows makes no sense, because each key was
// computed for another position. The state of a hybrid stays as it is. It is kept at the end, also with n
// 0, so that Truncate can go back to there.
func (c *Context) Repeat(n int) error {
	if err := c.repeatAll(n); err != nil || !c.model.hybrid || c.computed {
		return err
	}
	l := c.model.lib
	memory := l.memory(c.handle)
	l.memoryRemove(memory, marked, all, all)
	l.memoryCopy(memory, decoded, marked, all, all)
	c.kept = c.used
	return nil
}

func (c *Context) repeatAll(n int) error {
	switch {
	case n < 0 || n > c.size-c.used:
		return fmt.Errorf("llamacpp: repeat: %d positions do not fit behind %d in a context of %d", n, c.used, c.size)
	case n > 0 && c.used == 0:
		return errors.New("llamacpp: repeat: nothing was decoded that could be repeated")
	case n == 0:
		return nil
	case c.computed:
		return errors.New("llamacpp: repeat: the context was made for computed positions alone")
	case c.model.window > 0: // copies have the positions of what they copy, so a window would see all of them
		return fmt.Errorf("llamacpp: repeat: %w of %d tokens", ErrWindow, c.model.window)
	}
	c.ready = false
	if c.original == 0 {
		c.original = c.used
		l := c.model.lib
		l.memoryCopy(l.memory(c.handle), decoded, original, all, all)
	}
	for n > 0 {
		take := min(n, c.original)
		if err := c.repeat(take); err != nil {
			return err
		}
		c.used, c.repeated, n = c.used+take, c.repeated+take, n-take
	}
	return nil
}

// repeat copies the K/V of the first n original positions into n more cells.
func (c *Context) repeat(n int) error {
	l, memory := c.model.lib, c.model.lib.memory(c.handle)
	drop := func() { l.memoryRemove(memory, copied, all, all) }
	defer drop()
	// A state is that of a whole sequence. The sequence shares its cells at first; setting its
	// state gives it its own.
	l.memoryCopy(memory, original, copied, 0, int32(n))
	state := make([]byte, l.stateSize(c.handle, copied))
	at, size := unsafe.Pointer(unsafe.SliceData(state)), uintptr(len(state))
	if l.stateGet(c.handle, at, size, copied) != size {
		return fmt.Errorf("llamacpp: repeat: libllama does not give the K/V of %d positions", n)
	}
	drop()
	if l.stateSet(c.handle, at, size, copied) != size {
		return fmt.Errorf("llamacpp: repeat: libllama does not take K/V of %d positions", n)
	}
	l.memoryCopy(memory, copied, decoded, all, all)
	return nil
}

// Keeps reports whether what n positions need is still there: layers with a window lose rows when
// others follow, and recurrent ones have the state of the last position, and the one that Repeat kept. A
// few rows that are lost change no time.
func (c *Context) Keeps(n int) bool {
	if c.model.hybrid {
		return n >= c.used || n == 0 || n == c.kept
	}
	return n >= c.used || n == 0 || c.model.window == 0 || !c.computed || c.used-n < c.model.window
}

// Truncate forgets the positions from n on. It does nothing if there are at most n.
func (c *Context) Truncate(n int) error {
	if n < 0 {
		return fmt.Errorf("llamacpp: truncate to %d of %d positions", n, c.used)
	}
	if n >= c.used {
		return nil
	}
	if c.model.hybrid {
		return c.truncateHybrid(n)
	}
	c.ready = false
	l, memory := c.model.lib, c.model.lib.memory(c.handle)
	if c.repeated == 0 || n >= c.original+c.repeated {
		l.memoryRemove(memory, decoded, int32(n-c.repeated), all)
		c.used = n
		return nil
	}
	// libllama cannot tell the copies of a position apart: keep the original ones and repeat them
	// again.
	kept := min(n, c.original)
	l.memoryRemove(memory, decoded, all, all)
	l.memoryCopy(memory, original, decoded, 0, int32(kept))
	l.memoryRemove(memory, original, all, all)
	c.used, c.original, c.repeated = kept, 0, 0
	return c.Repeat(n - kept)
}

// truncateHybrid goes back to a state that is kept.
func (c *Context) truncateHybrid(n int) error {
	if n == 0 {
		c.Clear()
		return nil
	}
	if n != c.kept {
		return fmt.Errorf("llamacpp: truncate a hybrid to %d of %d positions: its state is kept after %d", n, c.used, c.kept)
	}
	c.ready = false
	l := c.model.lib
	memory := l.memory(c.handle)
	l.memoryRemove(memory, decoded, all, all)
	l.memoryCopy(memory, marked, decoded, all, all)
	c.used = n
	return nil
}
