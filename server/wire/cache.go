package wire

import (
	"fmt"
	"net/http"

	"github.com/seed4d217819/ebb/service"
)

// CacheHeader says how much of a prompt was kept from before, and where the prompt has left what was
// kept, so that a program that begins each prompt with another number is seen.
const CacheHeader = "X-Ebb-Cache"

// Cache sets the CacheHeader of a response whose body is not yet written.
func Cache(h http.Header, u service.Usage) { h.Set(CacheHeader, cached(u)) }

// CacheBehind sets the CacheHeader of a response whose body is written, event by event: as a trailer.
func CacheBehind(h http.Header, u service.Usage) { h.Set(http.TrailerPrefix+CacheHeader, cached(u)) }

func cached(u service.Usage) string {
	text := fmt.Sprintf("%d of %d tokens", u.Cached, u.Prompt)
	if left := u.Diverged; left.Conversation != "" && left.Token < min(left.Of, u.Prompt) { // not where the prompt ends
		text += fmt.Sprintf("; diverged at %d from conversation %.80s of %d", left.Token, left.Conversation, left.Of)
	}
	return text
}
