package jinja_test

import (
	"fmt"
	"log"

	"github.com/seed4d217819/ebb/chat/jinja"
)

func Example() {
	t, err := jinja.Parse("{% for n in numbers if n is odd %}\n{{ n / 2 }} {{ [n, 'a'] }}\n{% endfor %}\n")
	if err != nil {
		log.Fatal(err)
	}
	text, err := t.Render(map[string]jinja.Value{
		"numbers": jinja.NewList(int64(1), int64(2), int64(3)),
	}, jinja.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(text)
	// Output:
	// 0.5 [1, 'a']
	// 1.5 [3, 'a']
}
