/* command.cc - what kbench tells the runner: reads it into `run`. Included by runner.cc. */

/* All of fd 3 up to the line "end". */
static char *read_command(void) {
    size_t cap = 1 << 16, len = 0;
    char *text = (char *)malloc(cap + 1);
    while (text && len < cap) {
        ssize_t n = read(KBH_COMMAND_FD, text + len, cap - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            bad_command("it ended early");
        len += (size_t)n;
        text[len] = '\0';
        if (len >= 5 && !memcmp(text + len - 5, "\nend\n", 5))
            return text;
    }
    bad_command("too long");
}

static unsigned long long number(char **at) {
    char *end;
    unsigned long long value = strtoull(*at, &end, 10);
    if (end == *at)
        bad_command("a number is missing");
    *at = end;
    return value;
}

/* What follows the blank, to the end of the line. */
static const char *rest(char *at) {
    return *at == ' ' ? at + 1 : at;
}

static void read_slot(char *at) {
    if (run.n_slots == KBH_MAX_SLOTS)
        bad_command("too many slots");
    kbh_slot *slot = &run.slots[run.n_slots++];
    slot->offset = number(&at);
    slot->bytes = number(&at);
    if (slot->offset > run.slab_bytes || slot->bytes > run.slab_bytes - slot->offset)
        bad_command("a slot outside of the slab");
    snprintf(slot->name, sizeof slot->name, "%s", rest(at));
}

static void read_launch(char *at) {
    if (run.n_launches == KBH_MAX_LAUNCHES)
        bad_command("too many launches");
    kbh_launch *l = &run.launches[run.n_launches++];
    for (int i = 0; i < 3; i++)
        l->grid[i] = (unsigned)number(&at);
    for (int i = 0; i < 3; i++)
        l->block[i] = (unsigned)number(&at);
    l->smem = number(&at);
    const char *name = rest(at);
    for (int i = 0; i < kbh_entry_count; i++)
        if (!strcmp(kbh_entries[i].name, name))
            l->entry = &kbh_entries[i];
    if (!l->entry)
        bad_command("no such entry");
}

/* "slot I", "null" or "scalar BYTES HEX" for the latest launch: its next argument. */
static void read_arg(kbh_launch *l, int i, char *at) {
    const kbh_entry *entry = l->entry;
    bool scalar = !strncmp(at, "scalar ", 7);
    size_t bytes = sizeof(void *);
    if (i >= 32)
        bad_command("too many arguments");
    l->args[i] = l->values[i];
    if (!strncmp(at, "slot ", 5)) {
        at += 5;
        unsigned long long slot = number(&at);
        if (slot >= (unsigned)run.n_slots)
            bad_command("no such slot");
        char *data = run.slab + run.slots[slot].offset;
        memcpy(l->values[i], &data, sizeof data);
    } else if (scalar) {
        at += 7;
        bytes = number(&at);
        unsigned long long bits = strtoull(rest(at), NULL, 16);
        memcpy(l->values[i], &bits, 8);
    }
    if (i >= entry->n_params)
        return;
    const kbh_param *p = &entry->params[i];
    if (p->bytes != bytes || p->pointer == scalar)
        kbh_stop(KBH_ARGUMENTS, "argument %d of %s is %s of %zu bytes, the contract passes "
                                "%s of %zu",
                 i + 1, entry->name, p->pointer ? "a pointer" : "a value", p->bytes,
                 scalar ? "a value" : "a pointer", bytes);
}

static void read_patch(char *at) {
    if (run.n_patches == KBH_MAX_PATCHES)
        bad_command("too many patches");
    kbh_patch *p = &run.patches[run.n_patches++];
    p->offset = number(&at);
    p->bytes = number(&at);
    p->value = (unsigned)strtoul(rest(at), NULL, 16);
    if (p->bytes > sizeof p->value || p->offset > run.slab_bytes ||
        p->bytes > run.slab_bytes - p->offset)
        bad_command("a patch outside of the slab");
}

static void read_compared(char *at) {
    unsigned long long slot = number(&at);
    if (slot >= (unsigned)run.n_slots)
        bad_command("no such slot");
    run.slots[slot].compared = true;
}

/* Room for the slab with a moat before and behind, so that what goes far past its ends is a
 * fault and does not land in whatever the system put next to it. */
static void *reserve_slab() {
    const size_t moat = (size_t)256 << 20;
    void *room = mmap(NULL, run.slab_bytes + 2 * moat, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return room == MAP_FAILED ? NULL : (char *)room + moat;
}

static char *map_slab(void) {
    void *room = reserve_slab();
    void *slab = mmap(room, run.slab_bytes, PROT_READ | PROT_WRITE,
                      MAP_SHARED | (room ? MAP_FIXED : 0), KBH_SLAB_FD, 0);
    if (slab == MAP_FAILED)
        kbh_stop(KBH_LIMIT, "cannot map %zu bytes: %s", run.slab_bytes, strerror(errno));
    return (char *)slab;
}

static bool field(char *line, const char *name, char **value) {
    size_t n = strlen(name);
    if (strncmp(line, name, n) || (line[n] && line[n] != ' '))
        return false;
    *value = line + n + (line[n] == ' ');
    return true;
}

static void end_args(int n_args) {
    const kbh_launch *l = &run.launches[run.n_launches - 1];
    if (n_args != l->entry->n_params)
        kbh_stop(KBH_ARGUMENTS, "%s has %d parameters, the contract passes %d arguments",
                 l->entry->name, l->entry->n_params, n_args);
}

static void parse_command(char *text) {
    int n_args = 0;
    for (char *line = text, *next; *line; line = next) {
        char *end = strchr(line, '\n'), *value;
        *end = '\0';
        next = end + 1;
        if (field(line, "nonce", &value)) {
            snprintf(run.nonce, sizeof run.nonce, "%s", value);
        } else if (field(line, "slab", &value)) {
            run.slab_bytes = number(&value);
            if (run.slab_bytes)
                run.slab = map_slab();
        } else if (field(line, "slot", &value)) {
            read_slot(value);
        } else if (field(line, "order", &value)) {
            run.order = (enum kbh_order)number(&value);
        } else if (field(line, "seed", &value)) {
            run.seed = number(&value);
        } else if (field(line, "workers", &value)) {
            run.workers = (int)number(&value);
        } else if (field(line, "ahead", &value)) {
            run.ahead = true;
            run.twice = !strcmp(value, "twice");
        } else if (field(line, "patch", &value)) {
            read_patch(value);
        } else if (field(line, "repeat", &value)) {
            run.repeats = (int)number(&value);
            run.repeat_ns = (long long)number(&value);
        } else if (field(line, "compared", &value)) {
            read_compared(value);
        } else if (field(line, "late", &value)) {
            run.late_bytes = number(&value);
        } else if (field(line, "smem", &value)) {
            kbh_smem_limit = number(&value);
        } else if (field(line, "launch", &value)) {
            read_launch(value);
            n_args = 0;
        } else if (field(line, "arg", &value) && run.n_launches) {
            read_arg(&run.launches[run.n_launches - 1], n_args++, value);
        } else if (field(line, "early", &value) && run.n_launches) {
            run.launches[run.n_launches - 1].early = true;
        } else if (field(line, "run", &value) && run.n_launches) {
            end_args(n_args);
        } else if (!field(line, "end", &value)) {
            bad_command(line);
        }
    }
}
