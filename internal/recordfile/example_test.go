package recordfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed4d217819/ebb/internal/recordfile"
)

func Example() {
	dir, err := os.MkdirTemp("", "ebb-records-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	o := recordfile.Options{Dir: filepath.Join(dir, "records"), Ours: func(name string) bool { return strings.HasPrefix(name, "note-") }, Count: 2}
	s, err := recordfile.Open(o)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"note-a", "note-b", "note-c"} {
		if err := s.Put(name, []byte("of "+name)); err != nil {
			fmt.Println(err)
		}
	}
	s, err = recordfile.Open(o) // the next process
	if err != nil {
		fmt.Println(err)
		return
	}
	data, ok := s.Get("note-b")
	fmt.Println(len(s.Names()), string(data), ok)
	_, ok = s.Get("note-a") // the one that was not used for longest
	fmt.Println(ok)
	// Output:
	// 2 of note-b true
	// false
}
