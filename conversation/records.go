package conversation

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"sync"

	"github.com/seed4d217819/ebb/blockfile"
	"github.com/seed4d217819/ebb/internal/recordfile"
)

// records are those of the conversations that have files, in memory and in a file each.
type records struct {
	dir    string
	count  int   // how many there are at most
	bytes  int64 // how many bytes they have together at most
	notify func(string)
	kept   func(*record) error   // is called when a record has been written
	gone   func(id string) error // is called when there is no record any more

	disk  sync.Mutex // held while a record is written or removed, and in kept and gone. It is taken before the store's mu, and mu
	files *recordfile.Store

	mu    sync.Mutex // taken after the store's
	all   map[string]*record
	total int64 // bytes
}

const (
	// recordsPart is which part of the bytes of the folder is for records.
	recordsPart = 32
	// maxRecords is how many records there are at most. All of them are read when the store is made.
	maxRecords = 10_000
	// maxRecordBytes is how many bytes they have together at most: an eighth of what the tokens of conversations
	// take, 16 million of them with this.
	maxRecordBytes = 64 << 20
	// fileOverhead is what a small file takes on the disk at most, beside its own bytes.
	fileOverhead = 8192
)

// newRecords returns the records in a folder of those bytes, and how many are left for other files; 0: any
// number. They are not read yet.
func newRecords(dir string, bytes int64, notify func(string)) (r *records, left int64) {
	r = &records{dir: filepath.Join(dir, "conversations"), count: maxRecords, bytes: maxRecordBytes, notify: notify, all: map[string]*record{}}
	if bytes > 0 {
		part := bytes / recordsPart
		r.count = max(1, min(r.count, int(part/4*3/fileOverhead)))
		r.bytes = min(r.bytes, part/4)
		bytes -= part
	}
	return r, bytes
}

var recordName = regexp.MustCompile(`^conv_[a-z2-7]{16}$`)

// readers is how many records are read at a time.
const readers = 16

// read reads all records, and returns those that are pinned, as the store of the blocks holds them: the one
// first that was used last.
func (r *records) read() (held []blockfile.Held, err error) {
	if r.files, err = recordfile.Open(recordfile.Options{Dir: r.dir, Ours: recordName.MatchString}); err != nil {
		return nil, err
	}
	names := r.files.Names()
	found := make([]*record, len(names))
	broken := make([]error, len(names))
	var wait sync.WaitGroup
	for first := range min(readers, len(names)) {
		wait.Go(func() {
			for i := first; i < len(names); i += readers {
				if data, ok := r.files.Peek(names[i]); ok {
					found[i], broken[i] = decodeRecord(names[i], data)
				}
			}
		})
	}
	wait.Wait()
	n := 0
	for i, of := range found {
		switch {
		case of != nil:
			r.all[of.id] = of
			r.total += of.size
		case broken[i] != nil && !errors.Is(broken[i], errNewer):
			n++
			if _, err := r.files.Remove(names[i]); err != nil {
				return nil, err
			}
		}
	}
	if n > 0 {
		r.notify(fmt.Sprintf("%s: %d damaged files with names and pins of conversations were removed; what was computed is there", r.dir, n))
	}
	pinned := slices.DeleteFunc(slices.SortedFunc(maps.Values(r.all), lessUseful), func(of *record) bool { return !of.pinned })
	for _, of := range slices.Backward(pinned) {
		held = append(held, of.held())
	}
	return held, nil
}

// held returns what is held of a record's files.
func (r *record) held() blockfile.Held { return blockfile.Held{Name: r.id, Trail: r.trail} }

// get returns a record; nil: there is none.
func (r *records) get(id string) *record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all[id]
}

// list returns all records that are not being removed.
func (r *records) list() []*record {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*record, 0, len(r.all))
	for _, of := range r.all {
		if !of.deleted {
			all = append(all, of)
		}
	}
	return all
}

// change puts what to makes of a record in its place, in its file and in memory, and returns it. There is none
// yet where to gets nil; where to returns nil, nothing is done. Where it returns a record beside an error, the
// record is written.
func (r *records) change(id string, to func(*record) *record) (*record, error) {
	r.disk.Lock()
	defer r.disk.Unlock()
	now := to(r.get(id))
	if now == nil {
		return nil, nil
	}
	data, err := now.encode()
	if err != nil {
		return nil, err
	}
	if now.size = int64(len(data)); now.size > r.bytes {
		return nil, fmt.Errorf("conversation: what is to be known of a conversation takes %d bytes, and all may take %d: allow more in the folder", now.size, r.bytes)
	}
	if err := r.files.Put(id, data); err != nil {
		return nil, err
	}
	r.mu.Lock()
	if before := r.all[id]; before != nil {
		r.total -= before.size
	}
	r.all[id] = now
	r.total += now.size
	r.mu.Unlock()
	return now, errors.Join(r.kept(now), r.shrink(now))
}

// shrink removes the least useful records until the others are within the bounds. Whoever calls it has disk.
func (r *records) shrink(but *record) error {
	r.mu.Lock()
	var victims []string
	count, bytes := len(r.all), r.total
	if count > r.count || bytes > r.bytes {
		for _, of := range slices.SortedFunc(maps.Values(r.all), lessUseful) {
			if count <= r.count && bytes <= r.bytes {
				break
			}
			if of != but {
				victims = append(victims, of.id)
				count, bytes = count-1, bytes-of.size
			}
		}
	}
	r.mu.Unlock()
	for _, id := range victims {
		if err := r.drop(id); err != nil {
			return err
		}
	}
	return nil
}

// remove removes a record, if there is one.
func (r *records) remove(id string) error {
	r.disk.Lock()
	defer r.disk.Unlock()
	return r.drop(id)
}

// drop is remove for whoever has disk.
func (r *records) drop(id string) error {
	if _, err := r.files.Remove(id); err != nil {
		return err
	}
	r.mu.Lock()
	if of := r.all[id]; of != nil {
		r.total -= of.size
		delete(r.all, id)
	}
	r.mu.Unlock()
	return r.gone(id)
}
