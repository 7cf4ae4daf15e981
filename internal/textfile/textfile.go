// Package textfile reads text files as editors and shells write them: in UTF-8 or UTF-16, with or
// without a byte order mark.
package textfile

import (
	"bytes"
	"encoding/binary"
	"os"
	"unicode/utf16"
)

// Read returns the text of a file, as [Decode] does.
func Read(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	return Decode(text), err
}

// Decode returns text in UTF-8 and without a byte order mark. Text without such a mark is returned
// as it is. Text in UTF-16, which some shells write, is recognized by its mark.
func Decode(text []byte) []byte {
	order := binary.ByteOrder(binary.LittleEndian)
	switch {
	case bytes.HasPrefix(text, []byte("\xEF\xBB\xBF")):
		return text[3:]
	case bytes.HasPrefix(text, []byte("\xFF\xFE")):
	case bytes.HasPrefix(text, []byte("\xFE\xFF")):
		order = binary.BigEndian
	default:
		return text
	}
	var units []uint16
	for i := 2; i+1 < len(text); i += 2 {
		units = append(units, order.Uint16(text[i:]))
	}
	return []byte(string(utf16.Decode(units)))
}
