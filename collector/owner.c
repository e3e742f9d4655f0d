#include "collector/owner.h"

#include <sys/fsuid.h>
#include <unistd.h>

/* neither call reports an error: asked for an id that cannot be, they tell the present one */
static bool is_user(uint32_t uid, uint32_t gid)
{
	return (uint32_t)setfsuid((uid_t)-1) == uid && (uint32_t)setfsgid((gid_t)-1) == gid;
}

bool pa_owner_enter(const struct pa_owner *o)
{
	if (!o->other)
		return true;
	setfsgid(o->gid);
	setfsuid(o->uid);
	if (is_user(o->uid, o->gid))
		return true;
	pa_owner_leave(o);
	return false;
}

void pa_owner_leave(const struct pa_owner *o)
{
	if (!o->other)
		return;
	setfsuid(geteuid());
	setfsgid(getegid());
}
