package chat_test

import (
	"fmt"
	"log"

	"github.com/seed4d217819/ebb/chat"
)

func Example() {
	t, err := chat.New("{{ bos_token }}\n"+
		"{% for m in messages %}\n"+
		"<|{{ m.role }}|>{{ m.content }}\n"+
		"{% endfor %}\n"+
		"{% if add_generation_prompt %}<|assistant|>{% endif %}", chat.Vars{BOS: "<s>"})
	if err != nil {
		log.Fatal(err)
	}
	text, err := t.Render([]chat.Message{
		{Role: "system", Content: "Be brief."},
		{Role: "user", Content: "Who are you?"},
	}, true)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(text)
	// Output:
	// <s>
	// <|system|>Be brief.
	// <|user|>Who are you?
	// <|assistant|>
}
