package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"strings"
)

// DefaultBody is how many bytes a body may have by default: several contexts of a million tokens.
const DefaultBody = 64 << 20

// Read reads the body of a request whole. limit is how many bytes it may have; 0: [DefaultBody]. The
// Content-Type may be any, since many programs send none or a wrong one.
func Read(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *Fault) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, &Fault{Status: http.StatusUnsupportedMediaType, Message: fmt.Sprintf("the body is encoded as %.40q: send it as it is", encoding)}
	}
	if limit == 0 {
		limit = DefaultBody
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &Fault{Status: http.StatusRequestEntityTooLarge, Message: fmt.Sprintf("the body is too large: it has more than %d bytes", limit)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &Fault{Status: http.StatusRequestTimeout, Message: "the body did not arrive in time"}
	case err != nil:
		return nil, &Fault{Status: http.StatusBadRequest, Message: "the body cannot be read: " + err.Error()}
	}
	return data, nil
}

// Wanted is a type of a field that says what JSON it wants, such as "a string or a list of strings".
// Its UnmarshalJSON returns [Mismatch].
type Wanted interface{ Wanted() string }

// Mismatch is the error of a field's UnmarshalJSON that was given another kind of value than T wants.
func Mismatch[T Wanted](data []byte) error {
	return &json.UnmarshalTypeError{Value: kindOf(data), Type: reflect.TypeFor[T]()}
}

// Decode reads a body that is a JSON object into a struct. Fields that the struct does not have are
// ignored: programs send many. A value of a wrong type is a fault that names its field.
func Decode(data []byte, into any) *Fault {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if len(bytes.TrimSpace(data)) == 0 {
		return Bad("", "the body is empty: want a JSON object")
	}
	return decode("", data, into)
}

// DecodePart reads a part of a body, as [Decode] does the whole. name is where it was, such as
// "messages[3]".
func DecodePart(name string, data []byte, into any) *Fault { return decode(name, data, into) }

// decode reads an object. name is "" if it is the body.
func decode(name string, data []byte, into any) *Fault {
	whole, prefix, colon := "the body", "", ""
	if name != "" {
		whole, prefix, colon = name, name+".", name+": "
	}
	err := json.Unmarshal(data, into)
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return Bad(name, "%s is not JSON: %v at byte %d", whole, err, syntax.Offset)
	case errors.As(err, &mismatch) && mismatch.Field == "":
		return Bad(name, "%s is %s: want an object", whole, withArticle(mismatch.Value))
	case errors.As(err, &mismatch):
		field := prefix + withoutEmbedded(reflect.TypeOf(into), mismatch.Field)
		return Bad(field, "%s is %s: want %s", field, withArticle(mismatch.Value), wanted(mismatch.Type))
	case err != nil:
		return Bad(name, "%s%s", colon, withoutPackages(err.Error()))
	case kindOf(data) != "object":
		return Bad(name, "%s is %s: want an object", whole, withArticle(kindOf(data)))
	}
	return nil
}

// withoutEmbedded returns the path of a field without the struct that the outermost one embeds: the names
// of embedded structs are Go's alone.
func withoutEmbedded(t reflect.Type, path string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name, rest, nested := strings.Cut(path, ".")
	if !nested || t.Kind() != reflect.Struct {
		return path
	}
	if f, ok := t.FieldByName(name); ok && f.Anonymous {
		return withoutEmbedded(f.Type, rest)
	}
	return path
}

// packages matches the names of packages that an error comes through, at the beginning of what each says.
var packages = regexp.MustCompile(`(^|: )(?:(?:chat|ebb|generation|grammar|json|jsonschema|tokenizer): )+`)

// withoutPackages returns the words of an error without the packages that it comes through: they mean nothing
// to clients.
func withoutPackages(text string) string {
	text = strings.ReplaceAll(text, "\ngeneration: ", "; ") // of several errors of one config
	return packages.ReplaceAllString(text, "$1")
}

// kindOf returns what a JSON value is, in encoding/json's words.
func kindOf(data []byte) string {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return "nothing"
	}
	switch data[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "bool"
	case 'n':
		return "null"
	}
	return "number"
}

// withArticle returns a kind of value as it stands in a sentence. Numbers that do not fit are named.
func withArticle(kind string) string {
	switch kind {
	case "object":
		return "an object"
	case "array":
		return "a list"
	case "bool":
		return "true or false"
	case "null", "nothing":
		return kind
	}
	if number, ok := strings.CutPrefix(kind, "number "); ok {
		return number
	}
	return "a " + kind
}

// wanted returns what JSON a Go type is read from.
func wanted(t reflect.Type) string {
	if w, ok := reflect.TypeAssert[Wanted](reflect.Zero(t)); ok {
		return w.Wanted()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number that is not negative"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	default:
		return "an object"
	}
}
