//go:build !linux

package bench

import (
	"context"
	"fmt"
	"runtime"
)

// diskArms reports that there is no way past the page cache here.
func diskArms(context.Context, string) ([]*transferArm, error) {
	return nil, fmt.Errorf("bench: disk: not measured on %s", runtime.GOOS)
}
