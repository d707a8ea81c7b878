// Goroutines touch memory that is not there, while others serve them by raw system calls, the
// collector runs and goroutines are preempted by signals. A plain program of Go, without libc.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	pageSize = 4096
	pages    = 2048
	touchers = 8
	servers  = 2

	sysUserfaultfd = 323
	userModeOnly   = 1
	ioctlAPI       = 0xc018aa3f
	ioctlRegister  = 0xc020aa00
	ioctlCopy      = 0xc028aa03
	apiVersion     = 0xaa
	modeMissing    = 1
	eventPagefault = 0x12
)

type apiArgs struct{ api, features, ioctls uint64 }
type registerArgs struct{ start, length, mode, ioctls uint64 }
type copyArgs struct{ dst, src, length, mode, copied uint64 }
type message struct {
	event    uint8
	reserved [7]byte
	flags    uint64
	address  uint64
	thread   uint64
}

var (
	served  int64
	garbage [touchers][]byte
)

func fail(what string, args ...interface{}) {
	fmt.Printf(what+"\n", args...)
	os.Exit(1)
}

func ioctl(fd, cmd uintptr, arg unsafe.Pointer) syscall.Errno {
	_, _, err := syscall.Syscall(syscall.SYS_IOCTL, fd, cmd, uintptr(arg))
	return err
}

func open() uintptr {
	fd, _, err := syscall.Syscall(sysUserfaultfd, syscall.O_CLOEXEC|userModeOnly, 0, 0)
	if err != 0 {
		fail("userfaultfd: %v", err)
	}
	api := apiArgs{api: apiVersion}
	if err := ioctl(fd, ioctlAPI, unsafe.Pointer(&api)); err != 0 {
		fail("UFFDIO_API: %v", err)
	}
	return fd
}

func mapPages(n int) uintptr {
	addr, _, err := syscall.Syscall6(syscall.SYS_MMAP, 0, uintptr(n)*pageSize,
		syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON,
		^uintptr(0), 0)
	if err != 0 {
		fail("mmap: %v", err)
	}
	return addr
}

// What page n of the region is filled with.
func contents(n uint64) byte {
	return byte(n*7 + 3)
}

func serve(fd uintptr, base uint64) {
	page := make([]byte, pageSize)
	var messages [4]message
	for {
		n, _, err := syscall.Syscall(syscall.SYS_READ, fd,
			uintptr(unsafe.Pointer(&messages[0])), unsafe.Sizeof(messages))
		if err == syscall.EINTR {
			continue
		}
		if err != 0 {
			fail("read: %v", err)
		}
		for _, m := range messages[:n/unsafe.Sizeof(message{})] {
			if m.event != eventPagefault {
				fail("event %#x", m.event)
			}
			start := m.address &^ (pageSize - 1)
			for i := range page {
				page[i] = contents((start - base) / pageSize)
			}
			args := copyArgs{dst: start, src: uint64(uintptr(unsafe.Pointer(&page[0]))),
				length: pageSize}
			err := ioctl(fd, ioctlCopy, unsafe.Pointer(&args))
			if err == 0 {
				atomic.AddInt64(&served, 1)
			} else if err != syscall.EEXIST {
				fail("UFFDIO_COPY: %v", err)
			}
		}
	}
}

func touch(region []byte, id int, done *sync.WaitGroup) {
	defer done.Done()
	for i := 0; i < pages; i++ {
		n := (i*31 + id*97) % pages
		got := region[n*pageSize+(id*512)%pageSize]
		if got != contents(uint64(n)) {
			fail("page %d: %#x instead of %#x", n, got, contents(uint64(n)))
		}
		if i%64 == 0 {
			garbage[id] = make([]byte, 1<<16)
		}
	}
}

// A loop that only a signal can preempt.
func spin(stop *int32, turns *uint64) {
	for atomic.LoadInt32(stop) == 0 {
		for i := 0; i < 100000; i++ {
			*turns += uint64(i)
		}
	}
}

func main() {
	time.AfterFunc(60*time.Second, func() { fail("served %d, then nothing", atomic.LoadInt64(&served)) })
	fd := open()
	base := mapPages(pages)
	region := unsafe.Slice((*byte)(unsafe.Pointer(base)), pages*pageSize)
	args := registerArgs{start: uint64(base), length: pages * pageSize, mode: modeMissing}
	if err := ioctl(fd, ioctlRegister, unsafe.Pointer(&args)); err != 0 {
		fail("UFFDIO_REGISTER: %v", err)
	}
	for i := 0; i < servers; i++ {
		go serve(fd, uint64(base))
	}
	var stop int32
	var turns uint64
	go spin(&stop, &turns)

	var done sync.WaitGroup
	for i := 0; i < touchers; i++ {
		done.Add(1)
		go touch(region, i, &done)
	}
	for i := 0; i < 20; i++ {
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	done.Wait()
	atomic.StoreInt32(&stop, 1)
	if served != pages {
		fail("%d pages served instead of %d", served, pages)
	}
	// A fault of the program's own is still a panic of Go's.
	defer func() {
		if recover() == nil {
			fail("no panic")
		}
		fmt.Println("all served")
	}()
	var none *int
	*none = 1
}
