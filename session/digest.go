package session

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Digests computes the digest of models' files, and remembers it by a file's size and time of
// change: a model of 4 GB takes seconds the first time, and nothing later.
type Digests struct {
	Dir string // a folder to remember them in; "": they are computed each time
}

// digest is what is remembered of a file.
type digest struct {
	Size    int64     `json:"size"`
	Changed time.Time `json:"changed"`
	SHA256  string    `json:"sha256"`
}

// Files returns the SHA-256, in hexadecimal, of one file, or for several that of their digests.
func (d Digests) Files(paths ...string) (string, error) {
	all := sha256.New()
	for _, path := range paths {
		one, err := d.file(path)
		if err != nil {
			return "", fmt.Errorf("session: digest of the model: %w", err)
		}
		if len(paths) == 1 {
			return one, nil
		}
		_, _ = io.WriteString(all, one) // a hash takes all
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

func (d Digests) file(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	now := digest{Size: info.Size(), Changed: info.ModTime().UTC()}
	if known, ok := d.remembered(path); ok && known.Size == now.Size && known.Changed.Equal(now.Changed) {
		return known.SHA256, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, f, make([]byte, 1<<20)); err != nil {
		return "", err
	}
	now.SHA256 = hex.EncodeToString(h.Sum(nil))
	d.remember(path, now)
	return now.SHA256, nil
}

// name returns the file in which a path's digest is remembered.
func (d Digests) name(path string) string {
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(d.Dir, hex.EncodeToString(sum[:16])+".json")
}

// remembered returns what is known of a path. What cannot be read is not known.
func (d Digests) remembered(path string) (known digest, ok bool) {
	if d.Dir == "" {
		return digest{}, false
	}
	text, err := os.ReadFile(d.name(path))
	if err != nil || json.Unmarshal(text, &known) != nil {
		return digest{}, false
	}
	return known, len(known.SHA256) == 2*sha256.Size
}

// remember notes a digest. If that fails, it is computed again the next time.
func (d Digests) remember(path string, known digest) {
	if d.Dir == "" || os.MkdirAll(d.Dir, 0o755) != nil {
		return
	}
	text, err := json.Marshal(known)
	if err != nil {
		return
	}
	f, err := os.CreateTemp(d.Dir, "new-*")
	if err != nil {
		return
	}
	_, err = f.Write(text)
	if closed := f.Close(); err != nil || closed != nil || os.Rename(f.Name(), d.name(path)) != nil {
		_ = os.Remove(f.Name())
	}
}
