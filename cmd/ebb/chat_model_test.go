package main

import (
	"errors"
	"os"
	"slices"

	"github.com/seed4d217819/ebb/gguf"
)

// chatTemplate is that of the model that writeChatModel writes. It refuses a system message that
// says so.
const chatTemplate = `{% for m in messages %}` +
	`{% if m['content'] == 'refuse me' %}{{ raise_exception('not that') }}{% endif %}` +
	`{{ '<s>' + m['role'] + ' ' + m['content'] + '</s>' }}{% endfor %}` +
	`{% if add_generation_prompt %}{{ '<s>assistant ' }}{% endif %}`

// writeChatModel writes a tiny model that has a chat template.
func writeChatModel(path string) error {
	return writeTinyModel(path, "tiny-gqa", gguf.KV{Key: "tokenizer.chat_template", Value: chatTemplate})
}

// writeTinyModel writes a tiny model with additional metadata, or other values of what it has.
func writeTinyModel(path, model string, meta ...gguf.KV) (err error) {
	tiny, err := gguf.Open("../../testdata/models/" + model + ".gguf")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tiny.Close()) }()
	for key, value := range tiny.Metadata() {
		if !slices.ContainsFunc(meta, func(kv gguf.KV) bool { return kv.Key == key }) {
			meta = append(meta, gguf.KV{Key: key, Value: value.Any()})
		}
	}
	var tensors []gguf.TensorData
	for _, t := range tiny.Tensors() {
		tensors = append(tensors, gguf.TensorData{Name: t.Name, Type: t.Type, Shape: t.Shape, Data: tiny.Data(t)})
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(gguf.Write(file, meta, tensors), file.Close())
}
