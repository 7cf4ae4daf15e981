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
	// warning: ebb computes with 8 threads, but the control group allows the time of 4: threads spin while they wait for each other, which uses that time up
	//   pass --threads 4, or raise the limit (cpu.max; docker run --cpus)
}
