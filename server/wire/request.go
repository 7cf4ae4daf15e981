package wire

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
)

// ID returns a new random name that begins with a prefix, such as "chatcmpl-". Nobody can guess it.
func ID(prefix string) string { return prefix + rand.Text() }

type saltKey struct{}

// WithSalt returns a context whose requests have a salt. The server gives each key its own.
func WithSalt(ctx context.Context, salt string) context.Context {
	return context.WithValue(ctx, saltKey{}, salt)
}

// Salt returns the salt of a request: that of its context, and the one that its body has, if any. No
// body makes the salt of another key out of its own.
func Salt(ctx context.Context, body string) string {
	salt, _ := ctx.Value(saltKey{}).(string)
	if body == "" {
		return salt
	}
	return salt + "\x00" + body
}

// Hints are the fields of a body by which programs name a conversation.
type Hints struct {
	UserID       string // metadata.user_id, in which Claude Code has a session
	CacheKey     string // prompt_cache_key
	Conversation string // conversation
}

// conversationHeaders are the header fields by which programs name a conversation, the most reliable
// first. The session in metadata.user_id comes after the first of them.
var conversationHeaders = []string{
	"X-Claude-Code-Session-Id", "Session-Id", "X-Session-Id", "X-Session-Affinity", "X-Conversation-Id", "X-Client-Request-Id",
}

// maxConversation is how many bytes of a conversation's name are kept.
const maxConversation = 200

// Conversation returns what a client calls the conversation of a request; "": nothing. It is a hint.
func Conversation(r *http.Request, h Hints) string {
	names := []string{r.Header.Get(conversationHeaders[0]), session(h.UserID)}
	for _, header := range conversationHeaders[1:] {
		names = append(names, r.Header.Get(header))
	}
	for _, name := range append(names, h.CacheKey, h.Conversation) {
		if name = strings.TrimSpace(name); name != "" {
			return strings.ToValidUTF8(name[:min(len(name), maxConversation)], "")
		}
	}
	return ""
}

// session returns the session that Claude Code writes into metadata.user_id: an object with session_id,
// or a text that ends with _session_ and its id. Others' ids of users name no conversation.
func session(user string) string {
	var object struct {
		Session string `json:"session_id"`
	}
	if strings.HasPrefix(user, "{") && json.Unmarshal([]byte(user), &object) == nil {
		return object.Session
	}
	if _, id, ok := strings.Cut(user, "_session_"); ok {
		return id
	}
	return ""
}
