package conversation

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed4d217819/ebb/blockfile"
)

// record is what outlives the process of a conversation beside its rows: what it is called, whether it is pinned,
// and the trail that leads to its files. Nobody changes one: another one takes its place.
type record struct {
	id, name string
	owner    [16]byte      // a digest of whose it is
	model    blockfile.Key // of the root without a salt: whose rows the files have
	trail    blockfile.Trail
	turn     int // where the last answer begins; 0: that is not known
	pinned   bool
	deleted  bool // its files are being removed
	used     time.Time

	size int64 // bytes of its file
}

// recordVersion is that of a record's file.
const recordVersion = 1

// recordFile is a record as it is in its file, which has its ID as name. Neither the salt nor a text is in it.
type recordFile struct {
	Version int       `json:"version"`
	Name    string    `json:"name,omitempty"`
	Pinned  bool      `json:"pinned,omitempty"`
	Deleted bool      `json:"deleted,omitempty"`
	Used    time.Time `json:"used"`
	Turn    int       `json:"turn,omitempty"`
	Owner   []byte    `json:"owner"`
	Model   []byte    `json:"model"`
	Root    []byte    `json:"root"`
	Blocks  []byte    `json:"blocks,omitempty"` // keys, one behind the other
	Tail    []int32   `json:"tail,omitempty"`
}

// encode returns the content of a record's file.
func (r *record) encode() ([]byte, error) {
	f := recordFile{
		Version: recordVersion, Name: r.name, Pinned: r.pinned, Deleted: r.deleted, Used: r.used, Turn: r.turn,
		Owner: r.owner[:], Model: r.model[:], Root: r.trail.Root[:], Tail: r.trail.Tail,
	}
	for _, key := range r.trail.Blocks {
		f.Blocks = append(f.Blocks, key[:]...)
	}
	return json.Marshal(f)
}

// errNewer says that a record is of a later version of this program, which will want it again.
var errNewer = errors.New("a newer version of ebb has made it")

// decodeRecord reads the file of a record.
func decodeRecord(id string, data []byte) (*record, error) {
	var made struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &made); err == nil && made.Version > recordVersion {
		return nil, errNewer
	}
	var f recordFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	const size = len(blockfile.Key{})
	if f.Version != recordVersion || len(f.Owner) != 16 || len(f.Model) != size || len(f.Root) != size ||
		len(f.Blocks)%size != 0 || len(f.Tail) >= blockfile.BlockTokens {
		return nil, fmt.Errorf("version %d, and fields of %d, %d, %d, %d and %d bytes", f.Version, len(f.Owner), len(f.Model), len(f.Root), len(f.Blocks), len(f.Tail))
	}
	r := &record{
		id: id, name: f.Name, pinned: f.Pinned, deleted: f.Deleted, used: f.Used, turn: f.Turn, size: int64(len(data)),
		owner: [16]byte(f.Owner), model: blockfile.Key(f.Model), trail: blockfile.Trail{Root: blockfile.Key(f.Root), Tail: f.Tail},
	}
	for key := range slices.Chunk(f.Blocks, size) {
		r.trail.Blocks = append(r.trail.Blocks, blockfile.Key(key))
	}
	return r, nil
}

// ownerOf returns a digest of the owner of a salt: of what comes before its first zero byte.
func ownerOf(salt string) [16]byte {
	owner, _, _ := strings.Cut(salt, "\x00")
	sum := sha256.Sum256([]byte("ebb owner of conversations\x00" + owner))
	return [16]byte(sum[:])
}

// isBeginning reports whether all tokens of a record are the beginning of a conversation with a trail and tokens.
func (r *record) isBeginning(of blockfile.Trail, tokens []int32) bool {
	n := len(r.trail.Blocks)
	if r.trail.Root != of.Root || n > len(of.Blocks) || n > 0 && r.trail.Blocks[n-1] != of.Blocks[n-1] {
		return false
	}
	rest := tokens[n*blockfile.BlockTokens:]
	return common(rest, r.trail.Tail) == len(r.trail.Tail)
}

// lessUseful compares records: which one goes first where there are too many.
func lessUseful(x, y *record) int {
	if x.pinned != y.pinned {
		if x.pinned {
			return 1
		}
		return -1
	}
	if c := x.used.Compare(y.used); c != 0 {
		return c
	}
	return bytes.Compare([]byte(x.id), []byte(y.id))
}
