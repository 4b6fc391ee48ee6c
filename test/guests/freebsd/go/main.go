// A guest for FreeBSD: threads, channels, maps, memory, files, processes, signals, timers.
package main

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

func check(what string, err error) {
	if err != nil {
		fmt.Println("FAIL", what, err)
		os.Exit(1)
	}
}

func threads() {
	var wg sync.WaitGroup
	var mutex sync.Mutex
	total := 0
	counts := make(map[int]int)
	jobs := make(chan int)
	for w := 0; w < 8; w++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			runtime.LockOSThread()
			for n := range jobs {
				sum := 0
				for i := 0; i <= n; i++ {
					sum += i
				}
				mutex.Lock()
				total += sum
				counts[n%10]++
				mutex.Unlock()
			}
		}()
	}
	for i := 0; i < 2000; i++ {
		jobs <- i
	}
	close(jobs)
	wg.Wait()
	keys := []int{}
	for k := range counts {
		keys = append(keys, k)
	}
	sort.Ints(keys)
	fmt.Println("threads", total, keys, counts[3])
}

func garbage() {
	var live [64][]byte
	var done atomic.Int64
	var wg sync.WaitGroup
	for w := 0; w < 4; w++ {
		wg.Add(1)
		go func(w int) {
			defer wg.Done()
			for i := 0; i < 400; i++ {
				b := make([]byte, 16384+i*13)
				for j := 0; j < len(b); j += 97 {
					b[j] = byte(i + j)
				}
				live[w*16+i%16] = b
				done.Add(int64(crc32.ChecksumIEEE(b) & 0xff))
			}
		}(w)
	}
	wg.Wait()
	runtime.GC()
	debug.FreeOSMemory()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	fmt.Println("garbage", done.Load(), stats.NumGC > 0, stats.HeapReleased > 0)
}

func memory() {
	const anon = 0x1000
	m, err := syscall.Mmap(-1, 0, 1<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|anon)
	check("mmap", err)
	for i := range m {
		m[i] = byte(i >> 12)
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_MPROTECT, uintptr(unsafe.Pointer(&m[0])), 4096, syscall.PROT_READ); errno != 0 {
		check("mprotect", errno)
	}
	func() {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() { fmt.Println("memory", recover() != nil, m[8192]) }()
		m[0] = 1
	}()
	check("munmap", syscall.Munmap(m))
	_, _, errno := syscall.Syscall6(syscall.SYS_MMAP, 0, 4096, 3, 0x2000, ^uintptr(0), 0)
	fmt.Println("guard with access:", errno)
}

func files(dir string) {
	path := filepath.Join(dir, "sub", "file")
	check("mkdir", os.MkdirAll(filepath.Dir(path), 0o755))
	check("write", os.WriteFile(path, []byte(strings.Repeat("line\n", 1000)), 0o640))
	check("link", os.Symlink("file", filepath.Join(dir, "sub", "link")))
	check("rename", os.Rename(path, path+"2"))
	check("chtimes", os.Chtimes(path+"2", time.Unix(1e9, 0), time.Unix(1e9, 5000)))
	info, err := os.Stat(path + "2")
	check("stat", err)
	fmt.Println("file", info.Size(), info.Mode(), info.ModTime().UTC().Format(time.RFC3339Nano))
	entries, err := os.ReadDir(filepath.Join(dir, "sub"))
	check("readdir", err)
	for _, e := range entries {
		fmt.Println("entry", e.Name(), e.Type())
	}
	target, err := os.Readlink(filepath.Join(dir, "sub", "link"))
	check("readlink", err)
	_, err = os.Open(filepath.Join(dir, "missing"))
	fmt.Println("link", target, os.IsNotExist(err))
	f, err := os.OpenFile(path+"2", os.O_RDWR|os.O_APPEND, 0)
	check("open", err)
	_, err = f.Write([]byte("end"))
	check("append", err)
	_, err = f.Seek(-3, io.SeekEnd)
	check("seek", err)
	tail, err := io.ReadAll(f)
	check("read", err)
	check("truncate", f.Truncate(10))
	data, err := syscall.Mmap(int(f.Fd()), 0, 10, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	check("mmap file", err)
	copy(data, "LINE")
	check("unmap file", syscall.Munmap(data))
	check("close", f.Close())
	all, err := os.ReadFile(path + "2")
	check("readfile", err)
	fmt.Printf("tail %q now %q\n", tail, all)
	check("remove", os.RemoveAll(dir+"/sub"))
}

func processes() {
	r, w, err := os.Pipe()
	check("pipe", err)
	go func() { time.Sleep(20 * time.Millisecond); w.Write([]byte("through a pipe")); w.Close() }()
	got, err := io.ReadAll(r)
	check("pipe read", err)
	fmt.Printf("%s\n", got)
	self, err := os.Executable()
	check("executable", err)
	cmd := exec.Command(self, "child", "a b")
	cmd.Env = append(os.Environ(), "CHILD=yes")
	cmd.Stdin = strings.NewReader("to the child")
	var out bytes.Buffer
	cmd.Stdout = &out
	err = cmd.Run()
	fmt.Printf("child said %q, %v\n", out.String(), err)
	cmd = exec.Command(self, "sleep")
	check("start", cmd.Start())
	time.Sleep(300 * time.Millisecond)
	check("kill", cmd.Process.Signal(syscall.SIGTERM))
	fmt.Println("sleeper:", cmd.Wait())
}

func signals() {
	ch := make(chan os.Signal, 4)
	signal.Notify(ch, syscall.SIGUSR2, syscall.SIGINFO)
	check("kill self", syscall.Kill(os.Getpid(), syscall.SIGUSR2))
	fmt.Println("signal", <-ch)
	check("kill self", syscall.Kill(os.Getpid(), syscall.SIGINFO))
	fmt.Println("signal", <-ch)
	start := time.Now()
	timer := time.NewTimer(30 * time.Millisecond)
	ticks := 0
	ticker := time.NewTicker(5 * time.Millisecond)
loop:
	for {
		select {
		case <-ticker.C:
			ticks++
		case <-timer.C:
			break loop
		}
	}
	fmt.Println("timers", ticks >= 2, time.Since(start) >= 30*time.Millisecond)
}

func spinning() {
	// A loop without calls is preempted by a signal.
	var stop atomic.Bool
	var x uint64
	go func() {
		for !stop.Load() {
			x++
		}
	}()
	time.Sleep(50 * time.Millisecond)
	runtime.GC()
	stop.Store(true)
	fmt.Println("preempted", runtime.GOOS, runtime.GOARCH, unsafe.Sizeof(x))
}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "child":
			in, _ := io.ReadAll(os.Stdin)
			fmt.Printf("%s|%s|%s", in, os.Args[2], os.Getenv("CHILD"))
			os.Exit(7)
		case "sleep":
			time.Sleep(time.Hour)
		}
	}
	threads()
	garbage()
	memory()
	files(os.TempDir())
	processes()
	signals()
	spinning()
	fmt.Println("done")
}
