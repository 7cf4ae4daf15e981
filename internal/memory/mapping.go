package memory

import (
	"os"
	"path"
	"strings"
)

// Mapping is a range of the process's addresses, and what of it is in memory.
type Mapping struct {
	From, To  uintptr
	Path      string // of the file that is mapped, or a name such as [heap]; "" for anonymous memory
	Writable  bool
	Resident  int64 // bytes in memory
	Anonymous int64 // of those, bytes that are the process's own and not the file's
	Huge      int64 // of those, bytes in huge pages
}

// IsFile reports whether a file is mapped.
func (m Mapping) IsFile() bool { return m.Path != "" && m.Path[0] == '/' }

// IsCode reports whether the program or a library is mapped.
func (m Mapping) IsCode() bool {
	exe, err := os.Executable()
	name := path.Base(m.Path)
	return m.IsFile() && (err == nil && m.Path == exe || strings.HasSuffix(name, ".so") || strings.Contains(name, ".so."))
}
