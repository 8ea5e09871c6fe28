from components.labeling.model.naive_bayes import fit_label_model

__all__ = ["fit_label_model"]
