package conversation

import (
	"bytes"
	"testing"
	"time"

	"github.com/seed4d217819/ebb/blockfile"
)

// Whatever a record's file has, it is a record that is written as it was read, or an error.
func FuzzRecord(f *testing.F) {
	r := &record{
		name: "a name", owner: ownerOf("salt\x00more"), turn: 3, pinned: true, used: time.Unix(1e9, 0).UTC(),
		trail: blockfile.Trail{Blocks: []blockfile.Key{{1}, {2}}, Tail: []int32{1, -2}},
	}
	data, err := r.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1,"owner":"AAAA"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRecord("conv_x", data)
		if err != nil {
			return
		}
		once, err := r.encode()
		if err != nil {
			return // a time that has no form
		}
		again, err := decodeRecord("conv_x", once)
		if err != nil || again.trail.Len() != r.trail.Len() || again.pinned != r.pinned || again.owner != r.owner {
			t.Fatalf("%s is read as %+v, %v", once, again, err)
		}
		if twice, err := again.encode(); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%s is written as %s, %v", once, twice, err)
		}
	})
}
