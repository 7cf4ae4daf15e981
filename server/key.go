package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"
)

// Key is what clients show.
type Key struct {
	digest [sha256.Size]byte
	salt   string
}

// NewKey makes a key of its text.
func NewKey(text string) Key {
	// The salt is the same after a restart, so that conversations in files are found again.
	salt := sha256.Sum256([]byte("ebb salt of key\x00" + text))
	return Key{sha256.Sum256([]byte(text)), hex.EncodeToString(salt[:])}
}

// find returns the key that a request shows: Authorization: Bearer KEY, or X-Api-Key: KEY. Of two keys the
// former counts; some programs send both fields, one of them with a word that is no key. It takes the same
// time whichever key it is.
func find(keys []Key, r *http.Request) (found Key, ok bool) {
	shown := []string{r.Header.Get("X-Api-Key"), ""}
	if scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		shown[1] = strings.TrimSpace(text)
	}
	for _, text := range shown {
		digest := sha256.Sum256([]byte(text))
		for _, k := range keys {
			if subtle.ConstantTimeCompare(k.digest[:], digest[:]) == 1 {
				found, ok = k, true
			}
		}
	}
	return found, ok
}
