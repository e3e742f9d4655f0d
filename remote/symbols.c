#include "remote/symbols.h"

#include <errno.h>
#include <string.h>

#include <gelf.h>

#include "collector/elf.h"
#include "collector/modules.h"

static Elf_Data *dynamic_symbols(Elf *elf, GElf_Shdr *sh)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, sh) && sh->sh_type == SHT_DYNSYM)
			return elf_getdata(scn, NULL);
	return NULL;
}

int pa_symbols_find(const struct pa_walker_module *module, const char *const *names, struct pa_span *out)
{
	struct pa_elf e;
	GElf_Shdr sh;
	int found = 0, error;
	size_t entry, nr;
	Elf_Data *data;

	for (size_t k = 0; names[k]; k++)
		out[k] = (struct pa_span){0, 0};
	if (module->file->fd < 0)
		return -ENOENT;
	error = pa_elf_open(&e, NULL, module->file->fd);
	if (error)
		return error;
	data = dynamic_symbols(e.elf, &sh);
	entry = gelf_fsize(e.elf, ELF_T_SYM, 1, EV_CURRENT);
	nr = data && entry ? data->d_size / entry : 0;
	for (size_t i = 1; i < nr && i < INT32_MAX; i++) {
		GElf_Sym sym;
		const char *name;

		if (!gelf_getsym(data, (int)i, &sym) || sym.st_shndx == SHN_UNDEF ||
		    GELF_ST_TYPE(sym.st_info) != STT_FUNC)
			continue;
		name = elf_strptr(e.elf, sh.sh_link, sym.st_name);
		for (size_t k = 0; name && names[k]; k++) {
			if (strcmp(name, names[k]) || out[k].start)
				continue;
			out[k].start = sym.st_value + module->bias;
			out[k].end = out[k].start + (sym.st_size ? sym.st_size : 1);
			found++;
		}
	}
	pa_elf_close(&e);
	return found;
}
