/**
 * The part of the monitor's program that has to do with terminals. The runtime makes one inside of the container, so that it has a name there, and hands its other side over by a socket, `console`,
 * in the directory where it is started; whoever has that side reads what the program prints and writes what somebody types.
 *
 * What is typed comes through a FIFO for a container's program, into which several may write at once, and through a pipe for one that `exec` runs. Sizes come through one of their own, so that they do not wait behind
 * what a program does not read: each is rows and columns, 16-bit numbers, the high bytes first. What is written in one piece of at most 4096 bytes the kernel does not mix with others.
 * @see crun(1), runc-create(8), `--console-socket`; SCM_RIGHTS in unix(7); PIPE_BUF in pipe(7); TIOCSWINSZ in tty_ioctl(4); pty(7)
 */
export const TERMINAL_PROGRAM = String.raw`# Where the runtime brings a terminal.
sub await_terminal {
  unlink 'console';
  my $socket;
  socket($socket, 1, 1, 0) && bind($socket, pack('S a*', 1, "console\0")) && listen($socket, 1) or return undef;
  return $socket;
}
# Its side of ours, which never makes us wait; undefined when none was brought.
sub brought_terminal {
  my ($socket) = @_;
  accept(my $runtime, $socket) or return undef;
  my ($text, $rights) = ("\0" x 4096, "\0" x 64);
  my $part = pack('P Q', $text, length $text);
  my $message = pack('Q L x4 P Q P Q l x4', 0, 0, $part, 1, $rights, length $rights, 0);
  # Closed by exec.
  my $got = syscall($set{recvmsg}, fileno($runtime), $message, 0x40000000);
  my ($length, $level, $type, $number) = unpack('Q l l l', $rights);
  return undef unless $got >= 0 && $length >= 20 && $level == 1 && $type == 1;
  open(my $terminal, '+<&=', $number) or return undef;
  fcntl($terminal, 4, 2048);
  unlink 'console';
  return $terminal;
}
# A program may close its terminal and open it again: while nobody has it open it is looked at now and then.
sub rest {
  $rest_until = now(1) + $rest;
  $rest *= 2 if $rest < 0.5;
}
sub resting {
  my $left = $rest_until - now(1);
  return $left > 0 ? $left : 0;
}
# Both are false at the end of it.
sub take_typed {
  my ($from) = @_;
  my $got = sysread($from, $typed, 65536, length $typed);
  return $got || (!defined $got && ($!{EINTR} || $!{EAGAIN}));
}
# The last one counts.
sub take_sizes {
  my ($from, $terminal) = @_;
  my $got = sysread($from, $sizes, 4096, length $sizes);
  return !defined $got && ($!{EINTR} || $!{EAGAIN}) unless $got;
  my $whole = length($sizes) - length($sizes) % 4;
  return 1 unless $whole;
  ioctl($terminal, 0x5414, pack('S4', unpack('n n', substr($sizes, $whole - 4, 4)), 0, 0));
  $sizes = substr($sizes, $whole);
  return 1;
}
# What the program has no room for is tried again when it has some: until then nothing more is taken.
sub type_on {
  my ($terminal) = @_;
  while (length $typed) {
    my $wrote = syswrite($terminal, $typed);
    if (defined $wrote) { substr($typed, 0, $wrote) = ''; next }
    next if $!{EINTR};
    last if $!{EAGAIN};
    # Nobody has it open just now.
    $typed = '';
  }
}

# What an exec with a terminal runs: it is between the terminal and whoever asked for it, and ends as the program does, which the runtime leaves to it, or as the runtime where there is none. It is started in
# the directory of the exec, where that notes the program in the file pid, with
#   0  what is typed
#   1  what is printed
#   2  what the runtime complains of
#   3  what shows by its end that this process has ended
#   4  sizes; their end is that of a terminal that is closed
# The first word is the user to whom the terminal is to belong: crun gives it to none.
sub run_with_terminal {
  my ($user, $count, @rest) = @_;
  $set{hide} = [splice(@rest, 0, $count)];
  $0 = 'provisioner-terminal';
  $SIG{$_} = 'IGNORE' for qw(HUP INT QUIT TERM PIPE USR1 USR2);
  my $console = await_terminal() or exit 125;
  syscall($set{prctl}, 36, 1, 0, 0, 0) == 0 or exit 125;
  my $runtime = fork() // exit 125;
  if ($runtime == 0) {
    $SIG{$_} = 'DEFAULT' for qw(HUP INT QUIT TERM PIPE USR1 USR2);
    enter();
    open(STDIN, '<', '/dev/null');
    open(STDOUT, '>', '/dev/null');
    # Nobody else has what shows our end, nor what shows to us another's.
    for my $number (3, 4) { open(my $ours, '<&=', $number); close $ours }
    exec { $rest[0] } @rest;
    exit 127;
  }
  my $child = watch($runtime);
  my ($program, $terminal, $status, $closing, %early) = (0);
  my $input = *STDIN;
  open(my $resized, '<&=', 4) or exit 125;
  while (1) {
    my $resting = defined $status ? 0 : resting();
    my ($read, $write) = ('', '');
    vec($read, fileno($child), 1) = 1 if defined $child && !defined $status;
    vec($read, fileno($console), 1) = 1 if defined $console;
    vec($read, fileno($terminal), 1) = 1 if defined $terminal && !$resting;
    vec($read, fileno($resized), 1) = 1 if defined $terminal;
    vec($read, fileno($input), 1) = 1 if defined $input && defined $terminal && !length $typed;
    vec($write, fileno($terminal), 1) = 1 if defined $terminal && length $typed;
    my $found = select($read, $write, undef, defined $status || !defined $child ? 0.05 : $resting || undef);
    if ($found > 0) {
      if (defined $console && vec($read, fileno($console), 1)) {
        $terminal = brought_terminal($console);
        own($terminal, $user) if defined $terminal && $user;
        undef $console;
        next;
      }
      if (defined $terminal && vec($read, fileno($terminal), 1)) {
        my $got = sysread($terminal, my $bytes, 65536);
        if ($got) { $rest = 0.02; print_all($bytes) or undef $terminal }
        elsif (defined $got || !($!{EINTR} || $!{EAGAIN})) { defined $status ? undef $terminal : rest() }
      }
      if (defined $terminal && defined $input && vec($read, fileno($input), 1)) { undef $input unless take_typed($input) }
      # Whoever asked for it has gone.
      if (defined $terminal && vec($read, fileno($resized), 1)) { undef $terminal unless take_sizes($resized, $terminal) }
      type_on($terminal) if defined $terminal && length $typed;
    }
    while (!defined $status && (my $pid = waitpid(-1, 1)) > 0) {
      if ($pid == $runtime) {
        my ($result, $file) = ($?);
        if ($result == 0 && open($file, '<', 'pid')) { $program = <$file> + 0 }
        else { $status = $result || 125 << 8 }
        $child = watch($program);
        $status = $early{$program} if exists $early{$program};
      }
      elsif ($pid == $program) { $status = $? }
      else { $early{$pid} = $? }
    }
    $closing //= now(1) + 1 if defined $status;
    last if defined $status && (!defined $terminal || now(1) > $closing);
  }
  exit($status & 127 ? 128 + ($status & 127) : $status >> 8);
}
# The side of the program, opened by ours. @see TIOCGPTPEER in ioctl_tty(2)
sub own {
  my ($terminal, $user) = @_;
  my $number = ioctl($terminal, 0x5441, 0x102);
  open(my $peer, '+<&=', $number) or return;
  chown($user, -1, $peer);
}
sub print_all {
  my ($bytes) = @_;
  my $done = 0;
  while ($done < length $bytes) {
    my $wrote = syswrite(STDOUT, $bytes, length($bytes) - $done, $done);
    if (defined $wrote) { $done += $wrote } elsif (!$!{EINTR}) { return 0 }
  }
  return 1;
}
`;
