package generation_test

import (
	"fmt"

	"github.com/seed4d217819/ebb/generation"
)

// A model's generation_config.json may hold fields that have no effect.
func Example() {
	c, warnings, err := generation.Parse([]byte(`{"max_new_tokens": 64, "temperature": 0.6, "top_p": 1.5}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(warnings, c.Warnings())
	c.DoSample = true
	fmt.Println(c.Validate())
	// Output:
	// [] [generation config: temperature (0.6) has no effect: it is for sampling, and do_sample is false generation config: top_p (1.5) has no effect: it is for sampling, and do_sample is false]
	// generation: top_p is 1.5: want a number from 0 to 1
}
