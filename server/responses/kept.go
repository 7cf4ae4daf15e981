package responses

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"

	"github.com/seed4d217819/ebb/server/wire"
)

// kept matches the names of records: the response's id, and a digest of the salt.
var kept = regexp.MustCompile(`^resp_[A-Z2-7]{26}-[0-9a-f]{32}$`)

// nameOf returns the name of a record. Whoever has another salt does not find it.
func nameOf(id, salt string) string {
	sum := sha256.Sum256([]byte("ebb responses\x00" + salt))
	return id + "-" + hex.EncodeToString(sum[:16])
}

// keep keeps a response and the items that it answers, if its request has not forbidden it. A response
// that cannot be kept says so.
func (h *Handler) keep(out *response, n input, salt string) {
	if !out.Store {
		return
	}
	rec, err := newRecord(out, n)
	var data []byte
	if err == nil {
		data, err = encode(rec)
	}
	if err == nil {
		err = h.store.Put(nameOf(out.ID, salt), data)
	}
	if err != nil {
		out.Store = false
		h.options.Log.Error("a response is not kept", "id", out.ID, "err", err)
	}
}

// find returns a response that is kept.
func (h *Handler) find(id, salt string) (rec record, ok bool) {
	data, ok := h.store.Get(nameOf(id, salt))
	return rec, ok && json.Unmarshal(data, &rec) == nil
}

// before returns the items of the conversation that ends with a response, and the first response of it.
func (h *Handler) before(id, salt string) (items []json.RawMessage, first string, fault *wire.Fault) {
	var turns [][]json.RawMessage
	for last, seen := id, map[string]bool{}; ; {
		rec, ok := h.find(last, salt)
		var of struct {
			Output   []json.RawMessage `json:"output"`
			Previous *string           `json:"previous_response_id"`
		}
		if !ok || seen[last] || json.Unmarshal(rec.Response, &of) != nil {
			f := wire.Bad("previous_response_id", "Previous response with id '%.80s' not found.", id)
			if last != id {
				f.Message += " It continues '" + last + "', which is not kept any more."
			}
			f.Code = "previous_response_not_found"
			return nil, "", f
		}
		seen[last] = true
		turns = append(turns, slices.Concat(rec.Input, of.Output))
		if of.Previous == nil {
			slices.Reverse(turns)
			return slices.Concat(turns...), last, nil
		}
		last = *of.Previous
	}
}

// get answers with a response that is kept.
func (h *Handler) get(w http.ResponseWriter, r *http.Request) error {
	if stream, _ := strconv.ParseBool(r.URL.Query().Get("stream")); stream {
		return wire.Bad("stream", "ebb does not offer the events of a response that is over: get it whole")
	}
	rec, ok := h.find(r.PathValue("id"), wire.Salt(r.Context(), ""))
	if !ok {
		return missing(r)
	}
	_ = wire.JSON(w, http.StatusOK, rec.Response)
	return nil
}

// remove removes a response. Those that continue it cannot be continued any more.
func (h *Handler) remove(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	ok, err := h.store.Remove(nameOf(id, wire.Salt(r.Context(), "")))
	if err != nil {
		return err
	}
	if !ok {
		return missing(r)
	}
	_ = wire.JSON(w, http.StatusOK, struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Deleted bool   `json:"deleted"`
	}{id, "response", true})
	return nil
}

// missing is the fault of a response that is not kept.
func missing(r *http.Request) *wire.Fault {
	f := wire.Bad("id", "Response with id '%.80s' not found.", r.PathValue("id"))
	f.Status = http.StatusNotFound
	return f
}

// page is a part of a list of items.
type page struct {
	Object string            `json:"object"` // list
	Data   []json.RawMessage `json:"data"`
	First  *string           `json:"first_id"`
	Last   *string           `json:"last_id"`
	More   bool              `json:"has_more"`
}

// defaultPage and maxPage are how many items a page has by default and at most, as OpenAI has it.
const (
	defaultPage = 20
	maxPage     = 100
)

// items answers with the items of a response's request: by default the last one first, as OpenAI does.
func (h *Handler) items(w http.ResponseWriter, r *http.Request) error {
	rec, ok := h.find(r.PathValue("id"), wire.Salt(r.Context(), ""))
	if !ok {
		return missing(r)
	}
	query := r.URL.Query()
	limit := defaultPage
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			return wire.Bad("limit", "limit is %.40q: want a number from 1 to %d", text, maxPage)
		}
		limit = n
	}
	switch order := query.Get("order"); order {
	case "", "desc":
		slices.Reverse(rec.Input)
	case "asc":
	default:
		return wire.Bad("order", "order is %.40q: want asc or desc", order)
	}
	data := rec.Input
	if after := query.Get("after"); after != "" {
		i := slices.IndexFunc(data, func(item json.RawMessage) bool { return idOf(item) == after })
		if i < 0 {
			return wire.Bad("after", "after is %.80q: want the id of an item of the response", after)
		}
		data = data[i+1:]
	}
	p := page{Object: "list", Data: data[:min(limit, len(data))], More: len(data) > limit}
	if n := len(p.Data); n > 0 {
		p.First, p.Last = new(string), new(string)
		*p.First, *p.Last = idOf(p.Data[0]), idOf(p.Data[n-1])
	}
	_ = wire.JSON(w, http.StatusOK, p)
	return nil
}

func idOf(item json.RawMessage) string {
	var of struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(item, &of) // an item without an id has the id ""
	return of.ID
}
