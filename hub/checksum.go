package hub

import (
	"crypto/sha1" // git's name of a file, not a secret
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"regexp"
)

// ErrChecksum says that a file differs from the hub's. The error that wraps it has both checksums.
var ErrChecksum = errors.New("wrong checksum")

// sumForm matches the SHA-256 of a file in large-file storage, or the SHA-1 of a file in git.
var sumForm = regexp.MustCompile(`^([0-9a-f]{64}|[0-9a-f]{40})$`)

// checksum computes the hub's checksum of a file.
type checksum struct {
	hash.Hash
	name string
	want string
}

func newChecksum(want string, size int64) checksum {
	if len(want) == 2*sha256.Size {
		return checksum{sha256.New(), "SHA-256", want}
	}
	c := checksum{sha1.New(), "git SHA-1", want}
	fmt.Fprintf(c, "blob %d\x00", size)
	return c
}

func (c checksum) verify() error {
	if got := hex.EncodeToString(c.Sum(nil)); got != c.want {
		return fmt.Errorf("%w: its %s is %s, and the hub's file has %s", ErrChecksum, c.name, got, c.want)
	}
	return nil
}
