/* bcryptprimitives.dll, which Wine 8 lacks and cryptography asks for random bytes. */
__declspec(dllimport) unsigned char __stdcall SystemFunction036(void *, unsigned long);

__declspec(dllexport) int __stdcall ProcessPrng(unsigned char *at, unsigned long long left)
{
    while (left) {
        unsigned long part = left > 65536 ? 65536 : (unsigned long)left;
        if (!SystemFunction036(at, part))
            return 0;
        at += part;
        left -= part;
    }
    return 1;
}

int __stdcall DllMainCRTStartup(void *dll, unsigned reason, void *more) { return 1; }
