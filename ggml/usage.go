package ggml

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Purpose is what a buffer is for, in the accounts of its backend.
type Purpose string

// The purposes of buffers.
const (
	Weights     Purpose = "weights"     // the model's tensors
	Activations Purpose = "activations" // results that go from graph to graph
	Inputs      Purpose = "inputs"      // token ids, positions, row indices
	Masks       Purpose = "masks"       // attention masks
	Slots       Purpose = "slots"       // K/V of the streamed layers being visited
	Regions     Purpose = "regions"     // K/V of resident layers
	States      Purpose = "states"      // of recurrent layers
	Scratches   Purpose = "scratch"     // intermediate results, see Scratch
	HostRows    Purpose = "host rows"   // K/V rows kept off the device
)

// ErrNoMemory reports that an allocation failed, or would have exceeded Options.Limit. The error
// that wraps it names the device, the purpose and the bytes.
var ErrNoMemory = errors.New("ggml: out of memory")

// Usage holds the bytes of a backend's open buffers. Purposes without bytes are left out.
type Usage struct {
	Current map[Purpose]int64
	Peak    map[Purpose]int64
	PeakKV  int64 // peak of Slots and Regions taken together
	Mapped  int64 // bytes now of Current that are mapped files
}

// Total returns the bytes in use for all purposes.
func (u Usage) Total() int64 {
	total := int64(0)
	for _, n := range u.Current {
		total += n
	}
	return total
}

// Plus returns the bytes of two backends together. It adds the peaks as if they had occurred at the
// same moment.
func (u Usage) Plus(o Usage) Usage {
	sum := Usage{Current: map[Purpose]int64{}, Peak: map[Purpose]int64{}, PeakKV: u.PeakKV + o.PeakKV, Mapped: u.Mapped + o.Mapped}
	for _, one := range [...]Usage{u, o} {
		for p, n := range one.Current {
			sum.Current[p] += n
		}
		for p, n := range one.Peak {
			sum.Peak[p] += n
		}
	}
	return sum
}

// account counts the bytes of one backend.
type account struct {
	device string
	limit  int64

	mu      sync.Mutex
	current map[Purpose]int64
	peak    map[Purpose]int64
	peakKV  int64
	limited int64 // bytes in use that count against limit
	buffers map[*Buffer]struct{}
	mapped  int64
}

func newAccount(device string, limit int64) *account {
	return &account{device: device, limit: limit, current: map[Purpose]int64{}, peak: map[Purpose]int64{}, buffers: map[*Buffer]struct{}{}}
}

// charge is an entry in the account, from an allocation until the memory is freed.
type charge struct {
	purpose Purpose
	size    int64
	limited bool // counts against the limit
	mapped  bool
}

// add adds ch to the account, or returns ErrNoMemory if that would exceed the limit.
func (a *account) add(ch charge) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ch.limited && ch.size > 0 && a.limit > 0 && ch.size > a.limit-a.limited {
		return fmt.Errorf("%w: %s: %d more bytes for %s, with %d of %d bytes in use",
			ErrNoMemory, a.device, ch.size, ch.purpose, a.limited, a.limit)
	}
	a.book(ch)
	return nil
}

// remove takes ch out of the account.
func (a *account) remove(ch charge) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ch.size = -ch.size
	a.book(ch)
}

func (a *account) book(ch charge) {
	if ch.limited {
		a.limited += ch.size
	}
	if ch.mapped {
		a.mapped += ch.size
	}
	a.current[ch.purpose] += ch.size
	a.peak[ch.purpose] = max(a.peak[ch.purpose], a.current[ch.purpose])
	a.peakKV = max(a.peakKV, a.current[Slots]+a.current[Regions])
}

func (a *account) usage() Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := Usage{Current: maps.Clone(a.current), Peak: maps.Clone(a.peak), PeakKV: a.peakKV, Mapped: a.mapped}
	none := func(_ Purpose, n int64) bool { return n == 0 }
	maps.DeleteFunc(u.Current, none)
	maps.DeleteFunc(u.Peak, none)
	return u
}

// open lists the purposes that have bytes in use, or returns "".
func (a *account) open() string {
	var parts []string
	current := a.usage().Current
	for _, p := range slices.Sorted(maps.Keys(current)) {
		parts = append(parts, fmt.Sprintf("%s %d bytes", p, current[p]))
	}
	return strings.Join(parts, ", ")
}

// HostMemory is memory of a buffer, where the program can address it.
type HostMemory struct {
	Purpose Purpose
	Base    uintptr
	Size    int64
	Mapped  bool // it is the memory of Map, and not the backend's own
	Heap    bool // it is of C's allocator
}

// HostMemory returns the memory of the open buffers that the program can address, in no order. A
// Scratch is not among them: all that it has is in use.
func (b *Backend) HostMemory() (all []HostMemory) {
	b.account.mu.Lock()
	defer b.account.mu.Unlock()
	for buf := range b.account.buffers {
		if buf.base != 0 && buf.base < nowhere && (buf.host || b.dev.typ == CPU) {
			all = append(all, HostMemory{buf.charge.purpose, buf.base, buf.size, buf.charge.mapped, !buf.charge.mapped && buf.pages == nil && buf.heap})
		}
	}
	return all
}

// opened adds an open buffer to the list, and closed removes it.
func (a *account) opened(b *Buffer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.buffers[b] = struct{}{}
}

func (a *account) closed(b *Buffer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.buffers, b)
}
