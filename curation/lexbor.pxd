"""What is read of lexbor's trees without its functions: selectolax's nodes and what they stand for.

As selectolax 1.0 declares them in its own lexbor.pxd and lexbor 3 in the headers that are named
here. Nothing is written through them. The size of selectolax's object is checked on import.
"""

from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uintptr_t
from libc.string cimport memcmp


cdef extern from * nogil:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <Python.h>

    typedef struct { unsigned char *data; size_t length; } lexbor_text;  /* core/str.h */

    typedef struct lexbor_node {  /* dom/interfaces/node.h */
        void *events;
        uintptr_t local_name, prefix, ns;
        void *owner_document;
        struct lexbor_node *next, *prev, *parent, *first_child, *last_child;
        void *user;
        int type;
    } lexbor_node;

    typedef struct lexbor_attribute {  /* dom/interfaces/attr.h */
        lexbor_node node;
        uintptr_t upper_name, qualified_name;
        lexbor_text *value;
        void *owner;
        struct lexbor_attribute *next, *prev;
    } lexbor_attribute;

    typedef struct {  /* dom/interfaces/element.h */
        lexbor_node node;
        uintptr_t upper_name, qualified_name;
        lexbor_text *is_value;
        lexbor_attribute *first_attr;
    } lexbor_element;

    typedef struct {  /* dom/interfaces/character_data.h */
        lexbor_node node;
        lexbor_text data;
    } lexbor_characters;

    typedef struct {  /* core/hash.h: how names are kept that are not lexbor's own */
        union { unsigned char *long_str; unsigned char short_str[17]; } u;
        size_t length;
    } lexbor_name;

    typedef struct {  /* selectolax/lexbor.pxd */
        PyObject_HEAD
        void *methods;
        lexbor_node *node;
        PyObject *parser;
        int is_fragment_root, is_template_content;
    } lexbor_wrapper;
    """
    ctypedef struct lexbor_text:
        unsigned char* data
        size_t length

    ctypedef struct lexbor_node:
        uintptr_t local_name
        lexbor_node* next
        lexbor_node* prev
        lexbor_node* parent
        lexbor_node* first_child
        lexbor_node* last_child
        int type

    ctypedef struct lexbor_attribute:
        lexbor_node node
        lexbor_text* value
        lexbor_attribute* next

    ctypedef struct lexbor_element:
        lexbor_node node
        lexbor_attribute* first_attr

    ctypedef struct lexbor_characters:
        lexbor_node node
        lexbor_text data

    ctypedef union lexbor_name_u:
        unsigned char* long_str
        unsigned char* short_str

    ctypedef struct lexbor_name:
        lexbor_name_u u
        size_t length

    ctypedef class selectolax.lexbor.LexborNode [object lexbor_wrapper, check_size error]:
        cdef lexbor_node* node
        cdef object parser


cdef enum:
    ELEMENT = 1  # types of nodes
    TEXT = 3
    NUMBERS = 256  # more than lexbor has for tags and for attributes; 0 is none of these


cdef inline LexborNode wrap(lexbor_node* node, object parser):
    """The node as selectolax has it."""
    cdef LexborNode found = LexborNode.__new__(LexborNode)
    found.node = node
    found.parser = parser
    return found


cdef inline lexbor_node* following(lexbor_node* node, const lexbor_node* root) noexcept nogil:
    """The next node in document order below `root`; NULL at the end."""
    if node.first_child:
        return node.first_child
    while node != root and not node.next:
        node = node.parent
    return NULL if node == root else node.next


cdef inline uintptr_t known(uintptr_t number) noexcept nogil:
    """A number of lexbor's own; 0 of another name, of which it is the address."""
    return number if number < NUMBERS else 0


cdef inline bint is_name(uintptr_t number, const char* text, size_t length) noexcept nogil:
    cdef lexbor_name* name = <lexbor_name*>number
    return (
        not known(number)
        and number != 0
        and name.length == length
        and not memcmp(name.u.long_str if length > 16 else name.u.short_str, text, length)
    )


cdef inline str text_of(const lexbor_text* text):
    return PyUnicode_DecodeUTF8(<const char*>text.data, text.length, "replace")
