// Holds a pod's namespaces open: waits for signals and reaps orphaned processes.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void reap(int signal) {
  (void)signal;
  while (waitpid(-1, 0, WNOHANG) > 0) {
  }
}

static void leave(int signal) {
  (void)signal;
  _exit(0);
}

int main(void) {
  struct sigaction reaping = {.sa_handler = reap, .sa_flags = SA_NOCLDSTOP};
  struct sigaction leaving = {.sa_handler = leave};
  sigaction(SIGCHLD, &reaping, 0);
  sigaction(SIGTERM, &leaving, 0);
  sigaction(SIGINT, &leaving, 0);
  for (;;) {
    pause();
  }
}
