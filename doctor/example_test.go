package doctor_test

import (
	"fmt"

	"github.com/seed4d217819/ebb/doctor"
)

func Example() {
	r := doctor.Readings{Threads: 8, Machine: doctor.Machine{Cores: 8, Quota: 4}}
	for _, f := range doctor.Findings(r) {
		fmt.Printf("%s: %s\n  %s\n", f.Severity, f.What, f.Fix)
	}
	// Output:
	// warning: 8 threads compute, and the control group allows the time of 4: they wait for each other by spinning, and use it up
	//   pass --threads 4, or raise the limit (cpu.max; docker run --cpus)
}
